"""Lists: the tags of an image, the catalogue, and what a page is (distribution spec end-8; Docker's ``_catalog``)."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import pytest

from naru.core.permissions import Role
from naru.web.oci import tags as oci_tags
from tests import make
from tests.asgi import Answer, Client
from tests.conftest import Naru
from tests.make import OCI_MANIFEST, manifest_of, sha256

on_shared = pytest.mark.asyncio(loop_scope="module")

CONFIG = b"{}"


async def tagged(client: Client, name: str, *tags: str) -> str:
    """An image with these tags on one manifest; its digest."""
    await make.blob(client, name, CONFIG)
    body = manifest_of(CONFIG, [])
    query = "&".join(f"tag={tag}" for tag in tags)
    target = f"/v2/{name}/manifests/{sha256(body)}?{query}"
    assert (await client.put(target, body, {"content-type": OCI_MANIFEST})).status == 201
    return sha256(body)


def following(answer: Answer) -> str | None:
    """The target of the link to the next page (RFC 8288), or None at the end."""
    link = answer.headers.get("link")
    if link is None:
        return None
    match = re.fullmatch(r'<([^>]*)>; rel="next"', link)
    assert match, link
    return match[1]


async def walked(client: Client, target: str, key: str) -> list[list[str]]:
    """Every page of a list."""
    pages: list[list[str]] = []
    following_target: str | None = target
    while following_target is not None:
        answer = await client.get(following_target)
        assert answer.status == 200, answer.body
        pages.append(answer.json()[key])
        following_target = following(answer)
        assert len(pages) < 100
    return pages


TAGS = ["0", "1", "10", "2", "A", "Z", "_", "a", "a-b", "a.b", "a0", "a_b", "b"]  # as bytes sort them


@on_shared
async def test_tags_in_byte_order(shared: Naru, name: str) -> None:
    assert sorted(TAGS, key=str.encode) == sorted(TAGS)
    await tagged(shared.admin, name, *reversed(TAGS))
    answer = await shared.admin.get(f"/v2/{name}/tags/list")
    assert answer.json() == {"name": name, "tags": sorted(TAGS)}
    assert answer.headers["content-type"] == "application/json"
    assert following(answer) is None


@on_shared
@pytest.mark.parametrize("size", [1, 2, 5, len(TAGS) - 1, len(TAGS), len(TAGS) + 1, 10**9])
async def test_pages_are_whole_and_in_order(shared: Naru, name: str, size: int) -> None:
    await tagged(shared.admin, name, *TAGS)
    pages = await walked(shared.admin, f"/v2/{name}/tags/list?n={size}", "tags")
    assert [tag for page in pages for tag in page] == sorted(TAGS)
    assert all(len(page) == size for page in pages[:-1])
    assert pages[-1], "no empty page at the end"


SIZES = [
    # n, status, how many
    ("0", 200, 0),
    ("00", 200, 0),
    ("007", 200, 7),
    ("1000000000000", 200, len(TAGS)),
    ("1" + "0" * 1000, 200, len(TAGS)),
    ("9" * 15_000, 200, len(TAGS)),
    ("-1", 400, 0),
    ("-0", 400, 0),
    ("%2B1", 400, 0),
    ("+1", 400, 0),
    ("1.0", 400, 0),
    ("1e3", 400, 0),
    ("0x10", 400, 0),
    ("abc", 400, 0),
    ("", 400, 0),
    ("1%00", 400, 0),
    ("%20", 400, 0),
    ("%D9%A1", 400, 0),  # a digit of another script
    ("NaN", 400, 0),
]


@on_shared
@pytest.mark.parametrize(("size", "status", "count"), SIZES)
async def test_the_size_of_a_page(shared: Naru, size: str, status: int, count: int) -> None:
    await tagged(shared.admin, "team/sizes", *TAGS)
    for target, key in [("/v2/team/sizes/tags/list", "tags"), ("/v2/_catalog", "repositories")]:
        answer = await shared.admin.get(f"{target}?n={size}")
        assert answer.status == status, answer.body
        if status == 400:
            assert answer.code == "PAGINATION_NUMBER_INVALID"
            assert len(answer.message) < 500
        elif key == "tags":
            assert len(answer.json()[key]) == count
        assert count or following(answer) is None


@on_shared
async def test_where_a_page_starts(shared: Naru, name: str) -> None:
    digest = await tagged(shared.admin, name, "a", "b", "c", "d")
    rows = {"": "abcd", "a": "bcd", "aa": "bcd", "bzzz": "cd", "d": "", "z": "", "%00": "abcd", "b%00": "cd"}
    rows |= {"A": "abcd", "..": "abcd", "%C3%A4": "", "z" * 5000: "", "'; DROP TABLE tags; --": "abcd", "%": "abcd"}
    for last, expected in rows.items():
        answer = await shared.admin.get(f"/v2/{name}/tags/list?last={quote(unquote(last), safe='%')}")
        assert (answer.status, "".join(answer.json()["tags"])) == (200, expected), last
    first = await shared.admin.get(f"/v2/{name}/tags/list?n=2")
    await shared.admin.delete(f"/v2/{name}/manifests/b")  # the last of the page goes while a client pages
    answer = await shared.admin.get(following(first) or "")
    assert answer.json()["tags"] == ["c", "d"]
    await shared.admin.delete(f"/v2/{name}/manifests/{digest}")
    assert (await shared.admin.get(f"/v2/{name}/tags/list")).json() == {"name": name, "tags": []}


@on_shared
async def test_an_image_that_nobody_pushed_to(shared: Naru, name: str) -> None:
    answer = await shared.admin.get(f"/v2/{name}/tags/list")
    assert (answer.status, answer.json()) == (200, {"name": name, "tags": []})
    refused = await shared.admin.get("/v2/no-such/image/tags/list")
    assert (refused.status, refused.code) == (404, "NAME_UNKNOWN")
    assert "naru registry create no-such" in refused.message


@on_shared
async def test_methods_that_lists_do_not_have(shared: Naru, name: str) -> None:
    for target in (f"/v2/{name}/tags/list", "/v2/_catalog"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await shared.admin.request(method, target)
            assert (answer.status, answer.headers["allow"]) == (405, "GET")


# The catalogue.

IMAGES = ["a/b", "a/b-c", "a/b.c", "a/b/c", "a-b/a", "a-b/z", "a.b/a", "a0/a", "ab/a", "b/a", "team/b"]


async def test_the_catalogue_is_in_byte_order_of_whole_names(naru: Naru) -> None:
    """``a-b/z`` and ``a.b/a`` sort before ``a/b``: the slash counts."""
    for registry in sorted({image.partition("/")[0] for image in IMAGES} - {"team"}):
        await naru.registry(registry)
    for image in reversed(IMAGES):
        await tagged(naru.admin, image, "1")
    expected = sorted(IMAGES, key=str.encode)
    assert expected[:3] == ["a-b/a", "a-b/z", "a.b/a"]
    answer = await naru.admin.get("/v2/_catalog")
    assert answer.json() == {"repositories": expected}
    for size in range(1, len(IMAGES) + 2):
        pages = await walked(naru.admin, f"/v2/_catalog?n={size}", "repositories")
        assert [image for page in pages for image in page] == expected, size
        assert all(len(page) == size for page in pages[:-1])
    for last in [
        "",
        "a",
        "a-",
        "a-b",
        "a-b/",
        "a-b/a",
        "a-b/y",
        "a/",
        "a/b",
        "a/b0",
        "a0",
        "b/a",
        "zz",
        "a/b/",
        "~",
        "!",
    ]:
        answer = await naru.admin.get(f"/v2/_catalog?last={last}")
        assert answer.json()["repositories"] == [image for image in expected if image > last], last


async def test_the_catalogue_shows_what_the_caller_may_see(naru: Naru) -> None:
    await naru.registry("hidden", public_uri=False)
    await naru.registry("open", anonymous_pull=True)
    for image in ("team/a", "hidden/a", "open/a"):
        await tagged(naru.private if image.startswith("hidden") else naru.admin, image, "1")
    uploader = await naru.client("uploader", Role.IMAGE_UPLOADER)
    nobody = await naru.client("nobody")
    rows = [
        (naru.admin, ["open/a", "team/a"]),
        (naru.private, ["hidden/a", "open/a", "team/a"]),
        (uploader, ["open/a", "team/a"]),
        (nobody, ["open/a"]),
    ]
    for client, expected in rows:
        assert (await client.get("/v2/_catalog")).json()["repositories"] == expected
        assert await walked(client, "/v2/_catalog?n=1", "repositories") == [[image] for image in expected]
        token = await naru.token(client, "registry:catalog:*")
        if client is not naru.private:
            assert (await token.get("/v2/_catalog")).json()["repositories"] == expected
    for stranger in (naru.anonymous, await naru.token(naru.admin, "repository:team/a:pull")):
        refused = await stranger.get("/v2/_catalog")
        assert refused.status == 401
        assert 'scope="registry:catalog:*"' in refused.headers["www-authenticate"]
    limited = await naru.token(naru.admin, "registry:catalog:*")
    assert (await limited.get("/v2/team/a/manifests/1")).status == 401  # and opens nothing else


async def test_only_images_that_hold_something_are_listed(naru: Naru) -> None:
    digest = await tagged(naru.admin, "team/goes", "1")
    await make.blob(naru.admin, "team/blobs-only", b"x")
    await naru.admin.post("/v2/team/upload-only/blobs/uploads/")
    await tagged(naru.admin, "team/stays", "1")
    await naru.admin.delete("/v2/team/stays/manifests/1")  # without a tag it is still there
    await naru.admin.delete(f"/v2/team/goes/manifests/{digest}")
    assert (await naru.admin.get("/v2/_catalog")).json()["repositories"] == ["team/stays"]


@pytest.mark.parametrize("size", [1, 2, 5, len(TAGS) - 1, len(TAGS), 1000])
async def test_long_pages_are_as_short_ones(naru: Naru, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """They are put together by the database; each answer is the same, byte for byte and link for link."""
    await tagged(naru.admin, "team/app", *TAGS)
    starts = ["", "&last=A", "&last=zzz", "&last=%22", "&last=a%22%2C%22b"]
    targets = [f"/v2/{name}/tags/list?n={size}{start}" for start in starts for name in ("team/app", "team/none")]
    short = [await naru.admin.get(target) for target in targets]
    monkeypatch.setattr(oci_tags, "SHORT", 0)
    for target, expected in zip(targets, [(one.body, following(one)) for one in short], strict=True):
        answer = await naru.admin.get(target)
        assert (answer.body, following(answer)) == expected, target
    assert [
        one for page in await walked(naru.admin, f"/v2/team/app/tags/list?n={size}", "tags") for one in page
    ] == TAGS
