"""Image names with slashes in the API's paths: encoded once, twice, or as they are."""

from __future__ import annotations

import pytest

from naru.web.api.paths import canonical, name_of
from tests import make
from tests.api.client import api
from tests.conftest import Naru

BASE = "/ncr/v2.0/appkeys/KEY/registries/team/images"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("app", "app"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%2Fb"),
        ("a%2fb", "a%2Fb"),
        ("a%252Fb", "a%2Fb"),
        ("a/b/c/d", "a%2Fb%2Fc%2Fd"),
        ("a%2Fb/artifacts", "a%2Fb/artifacts"),
        ("a/b/artifacts", "a%2Fb/artifacts"),
        ("a/b/artifacts/1.0", "a%2Fb/artifacts/1.0"),
        ("a/b/artifacts/1.0/tags", "a%2Fb/artifacts/1.0/tags"),
        ("a/b/artifacts/1.0/tags/latest", "a%2Fb/artifacts/1.0/tags/latest"),
        ("a/b/artifacts/1.0/scan", "a%2Fb/artifacts/1.0/scan"),
        ("a/b/artifacts/1.0/additions/vulnerabilities", "a%2Fb/artifacts/1.0/additions/vulnerabilities"),
        ("a/b/tag-history", "a%2Fb/tag-history"),
        ("artifacts", "artifacts"),
        ("artifacts/artifacts", "artifacts/artifacts"),
        ("a%2Fartifacts/artifacts/1", "a%2Fartifacts/artifacts/1"),
        ("a%2Ftag-history", "a%2Ftag-history"),
        ("a/artifacts/b/artifacts/1", "a%2Fartifacts%2Fb/artifacts/1"),
        ("a/artifacts/b/tags/artifacts", "a/artifacts/b/tags/artifacts"),
        ("a/artifacts/b/unknown", "a/artifacts/b/unknown"),
        (
            "a%2Fartifacts%2Fb/artifacts/artifacts/tags/artifacts",
            "a%2Fartifacts%2Fb/artifacts/artifacts/tags/artifacts",
        ),
    ],
)
def test_the_name_becomes_one_segment(given: str, expected: str) -> None:
    assert canonical(f"{BASE}/{given}") == f"{BASE}/{expected}"


@pytest.mark.parametrize("path", ["/", "/ncr", BASE, f"{BASE[:-7]}/webhook/policies", "/api/docs", "/ncr/v2.0/appkeys"])
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert canonical(path) == path


@pytest.mark.parametrize("given", ["", "/", "%", "%2", "%zz", "%00", "..%2F..", "%25252525", "é", "a//b", "/artifacts"])
def test_nonsense_becomes_something_that_is_refused(given: str) -> None:
    made = canonical(f"{BASE}/{given}")
    assert made.startswith(BASE)
    assert name_of(made.rpartition("/")[2]) is not None


async def test_every_way_reaches_the_same_image(naru: Naru) -> None:
    admin = await api(naru)
    name = "deep/artifacts/app"
    image = await make.image(naru.admin, f"team/{name}", "1")
    for written in (name.replace("/", "%2F"), name.replace("/", "%252F"), name):
        base = f"/registries/team/images/{written}"
        for reference in ("1", image.digest, image.digest.replace(":", "%3A")):
            shown = (await admin.call("GET", f"{base}/artifacts/{reference}"))["artifact"]
            assert shown["digest"] == image.digest
            assert (await admin.call("GET", f"{base}/artifacts/{reference}/tags"))["tags"][0]["name"] == "1"
        assert len((await admin.call("GET", f"{base}/artifacts"))["artifacts"]) == 1
        assert len((await admin.call("GET", f"{base}/tag-history"))["tag_history"]) == 1


async def test_links_can_be_followed(naru: Naru) -> None:
    admin = await api(naru)
    for seed in ("1", "2"):
        await make.image(naru.admin, "team/deep/app", seed, seed=seed)
    for written in ("deep%2Fapp", "deep/app", "deep%252Fapp"):
        first = await admin.send("GET", f"/registries/team/images/{written}/artifacts?page_size=1")
        link = first.headers["link"].partition(">")[0].removeprefix("<")
        second = await admin.send("GET", link.removeprefix(admin.base))
        digests = [answer.json()["artifacts"][0]["digest"] for answer in (first, second)]
        assert len(set(digests)) == 2


@pytest.mark.parametrize("name", ["..%2F..%2Fsecret", "a%00b", "a//b", "%2F", "a%2F", "Ä", "a%0Ab", "x" * 300])
async def test_bad_names_are_refused(naru: Naru, name: str) -> None:
    admin = await api(naru)
    assert await admin.refused("GET", f"/registries/team/images/{name}/artifacts") in {10101, 10004, 10001}
