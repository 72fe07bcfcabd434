"""Names and paths: what a repository may be called, and what no path may become."""

from __future__ import annotations

import pytest

from tests import make
from tests.asgi import Client
from tests.conftest import Naru
from tests.make import OCI_MANIFEST, sha256

on_shared = pytest.mark.asyncio(loop_scope="module")

HOST = "registry.test"

#: Repositories that hold the API's own words, or look like something else.
WORDS = [
    "team/manifests",
    "team/manifests/manifests",
    "team/a/manifests/b",
    "team/blobs",
    "team/blobs/uploads",
    "team/x/blobs/uploads",
    "team/x/blobs/uploads/y",
    "team/tags",
    "team/tags/list",
    "team/a/tags/list",
    "team/referrers",
    "team/a/referrers/b",
    "team/v2",
    "team/latest",
    "team/0",
    "team/a__b",
    "team/a---b",
    "team/a.b/c_d/e-f",
    "team/sha256",
    "tags/list",
    "blobs/uploads",
    "manifests/latest",
    "v2/v2",
]


@on_shared
@pytest.mark.parametrize("repository", WORDS)
async def test_a_repository_may_hold_the_words_of_the_api(shared: Naru, repository: str) -> None:
    registry = repository.partition("/")[0]
    if registry not in {one.facts.name for one in await shared.registries()}:
        await shared.registry(registry)
    pushed = await make.image(shared.admin, repository, "1.0")
    answer = await shared.admin.get(f"/v2/{repository}/manifests/1.0")
    assert (answer.status, answer.body) == (200, pushed.manifest)
    assert (await shared.admin.get(f"/v2/{repository}/manifests/{pushed.digest}")).status == 200
    assert (await shared.admin.get(f"/v2/{repository}/tags/list")).json() == {"name": repository, "tags": ["1.0"]}
    assert (await shared.admin.get(f"/v2/{repository}/referrers/{pushed.digest}")).json()["manifests"] == []
    upload = (await shared.admin.post(f"/v2/{repository}/blobs/uploads/")).headers["location"]
    assert upload.startswith(f"/v2/{repository}/blobs/uploads/")
    assert (await shared.admin.put(f"{upload}?digest={sha256(b'data')}", b"data")).status == 201
    assert (await shared.admin.get(f"/v2/{repository}/blobs/{sha256(b'data')}")).body == b"data"
    assert (await shared.admin.post(f"/v2/{repository}/blobs/uploads")).status == 202  # without its slash
    assert repository in (await shared.admin.get("/v2/_catalog")).json()["repositories"]
    assert (await shared.admin.delete(f"/v2/{repository}/manifests/{pushed.digest}")).status == 202


@on_shared
async def test_the_length_counts_the_host(shared: Naru) -> None:
    """``host/name`` has at most 255 characters: clients refuse longer references."""
    room = 255 - len(HOST) - 1
    longest = "team/" + "a" * (room - 5)
    await make.image(shared.admin, longest, "1.0")
    assert (await shared.admin.get(f"/v2/{longest}/manifests/1.0")).status == 200
    for method, tail in [("GET", "manifests/1.0"), ("POST", "blobs/uploads/"), ("GET", "tags/list")]:
        answer = await shared.admin.request(method, f"/v2/{longest}a/{tail}")
        assert (answer.status, answer.code) == (400, "NAME_INVALID")
        assert "256 characters" in answer.message
    shorter = {"host": "r"}
    assert (await shared.admin.get(f"/v2/{longest}a/tags/list", shorter)).status == 200


BAD_NAMES = [
    ("Team/app", "NAME_INVALID"),
    ("team/App", "NAME_INVALID"),
    ("team/-app", "NAME_INVALID"),
    ("team/app-", "NAME_INVALID"),
    ("team/a..b", "NAME_INVALID"),
    ("team/a___b", "NAME_INVALID"),
    ("team/.", "NAME_INVALID"),
    ("team/..", "NAME_INVALID"),
    ("team/../team/app", "NAME_INVALID"),
    ("../team/app", "NAME_INVALID"),
    ("team//app", "NAME_INVALID"),
    ("team/app/", "NAME_INVALID"),
    ("/team/app", "NAME_INVALID"),
    ("team", "NAME_INVALID"),
    ("_catalog/app", "NAME_INVALID"),
    ("team/app:1.0", "NAME_INVALID"),
    ("team/app@sha256", "NAME_INVALID"),
    ("team\\app", "NAME_INVALID"),
    ("team/app name", "NAME_INVALID"),
    ("team/app\n", "NAME_INVALID"),
    ("team/app\r\nX-A: b", "NAME_INVALID"),
    ("team/app\0", "NAME_INVALID"),
    ("team/app\x7f", "NAME_INVALID"),
    ("team/app;a=b", "NAME_INVALID"),
    ("team/" + "a" * 1000, "NAME_INVALID"),
    ("team/" + "a/" * 2000 + "a", "NAME_INVALID"),
    ("team/" + "a" * 65_536, "UNSUPPORTED"),
    ("team/%2e%2e", "UNSUPPORTED"),
    ("team/%2e%2e%2fteam", "UNSUPPORTED"),
    ("team/%252e%252e", "UNSUPPORTED"),
    ("team%2Fapp", "UNSUPPORTED"),
    ("team/%61pp", "UNSUPPORTED"),
    ("team/app%00", "UNSUPPORTED"),
    ("team/app%0d%0aX-A:b", "UNSUPPORTED"),
    ("team/app%", "UNSUPPORTED"),
    ("team/app%zz", "UNSUPPORTED"),
    ("team/app%ff", "UNSUPPORTED"),
    ("team/\N{LATIN SMALL LETTER A WITH DIAERESIS}pp", "UNSUPPORTED"),
    ("team/\N{CYRILLIC SMALL LETTER A}pp", "UNSUPPORTED"),
    ("team/\N{FULLWIDTH SOLIDUS}app", "UNSUPPORTED"),
    ("team/\udcff", "UNSUPPORTED"),
]

TAILS = [("GET", "manifests/1.0"), ("PUT", "manifests/1.0"), ("GET", "tags/list"), ("POST", "blobs/uploads/")]
TAILS += [("GET", f"blobs/{sha256(b'')}"), ("GET", f"referrers/{sha256(b'')}"), ("DELETE", "manifests/1.0")]


def files(naru: Naru) -> set[str]:
    """Everything in the data folder and beside it, but for what the database makes by itself."""
    found = naru.core.settings.data.parent.rglob("*")
    return {str(path) for path in found if not path.name.startswith("naru.db")}


@on_shared
@pytest.mark.parametrize(("repository", "code"), BAD_NAMES)
async def test_what_is_no_name(shared: Naru, repository: str, code: str) -> None:
    for method, tail in TAILS:
        answer = await shared.admin.request(method, f"/v2/{repository}/{tail}")
        assert (answer.status, answer.code) == (400, code), (method, tail)
        assert answer.message.isprintable()
        assert len(answer.message) < 500
        assert not {"x-a", "a"} & answer.headers.keys()


@on_shared
async def test_no_path_touches_a_file(shared: Naru) -> None:
    before = files(shared)
    for repository, _code in BAD_NAMES:
        for last in ("..", "../../secret.key", "%2e%2e%2fsecret.key", "..%5c..", "naru.db", "/etc/passwd", "\0"):
            for word in ("manifests", "blobs", "blobs/uploads", "referrers", "tags"):
                for method in ("GET", "PUT", "PATCH"):
                    answer = await shared.admin.request(method, f"/v2/{repository}/{word}/{last}", b"x")
                    assert answer.status in {400, 404, 405}, (repository, word, last)
    assert files(shared) == before


ELSEWHERE = [
    # path, status
    ("/", 303),  # the console
    ("", 404),
    ("//v2/", 404),
    ("/v2//", 404),
    ("/v2/x", 404),
    ("/V2/", 404),
    ("/v1/", 404),
    ("/v2", 200),
    ("/v2/", 200),
    ("/v2/team", 404),
    ("/v2/team/app", 404),
    ("/v2/team/app/", 404),
    ("/v2/team/app/manifests", 404),
    ("/v2/manifests/1.0", 404),
    ("/v2/tags/list", 404),
    ("/v2/team/app/tags", 404),
    ("/v2/team/app/tags/", 404),
    ("/v2/team/app/tags/list/", 404),
    ("/v2/team/app/manifests/", 400),
    ("/v2/team/app/blobs/", 400),
    ("/v2/team/app/referrers/", 400),
    ("/v2/_catalog/", 404),
    ("/v2/_catalogs", 404),
    ("/v2/..", 404),
    ("/v2/../healthz", 404),
    ("/healthz/../v2/", 404),
    ("/service/token/", 404),
    ("/.well-known/security.txt", 404),
    ("/metrics/", 404),
    ("/healthz", 200),
]


@on_shared
@pytest.mark.parametrize(("path", "status"), ELSEWHERE)
async def test_paths_that_are_none_or_something_else(shared: Naru, path: str, status: int) -> None:
    answer = await shared.admin.get(path)
    assert answer.status == status
    if status >= 400:
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.message


async def status_of(client: Client, target: str) -> int:
    return (await client.get(target)).status


@on_shared
async def test_the_colon_may_be_encoded(shared: Naru, name: str) -> None:
    """Some clients write ``sha256%3A...`` and mean the same."""
    pushed = await make.image(shared.admin, name, "1.0")
    for digest in (pushed.digest.replace(":", "%3A"), pushed.digest.replace(":", "%3a")):
        assert await status_of(shared.admin, f"/v2/{name}/manifests/{digest}") == 200
        assert await status_of(shared.admin, f"/v2/{name}/referrers/{digest}") == 200
    blob = next(iter(pushed.blobs)).replace(":", "%3A")
    assert await status_of(shared.admin, f"/v2/{name}/blobs/{blob}") == 200
    headers = {"content-type": OCI_MANIFEST}
    again = await shared.admin.put(
        f"/v2/{name}/manifests/{pushed.digest.replace(':', '%3A')}", pushed.manifest, headers
    )
    assert again.status == 201
