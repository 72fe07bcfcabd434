"""From CNCF Distribution, behind a password, into Naru: everything that an image is made of, once, and by the rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from naru.app.importing import SourceAddress, importer
from naru.core.errors import BadRequest, NaruError, NotFound
from naru.core.importing import Wanted
from naru.core.outgoing import OutboundError
from naru.services.importing import Report
from tests import make
from tests.api.client import api, audit_rows
from tests.conftest import Naru
from tests.importing.source import PASSWORD, USER, Distribution, image_of, index_of
from tests.make import OCI_INDEX, OCI_MANIFEST, sha256

BASE = b"the layer that all have " * 5_000
ACCESSORY = {"artifactType": "application/spdx+json"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    started = Distribution(tmp_path_factory.mktemp("source") / "registry")
    started.start()
    try:
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="module")
def content(source: Distribution) -> dict[str, str]:
    """What the source has; the digest of each by a name."""
    found = {tag: source.image("team/app", tag, [BASE, tag.encode() * 1000]) for tag in ("1.0", "1.1", "2.0-rc1")}
    found["docker"] = source.image("team/docker", "latest", [BASE], docker=True)
    found["other"] = source.image("other/deep/app", "latest", [BASE])
    found["alone"] = source.image("alone", "latest", [b"alone"])
    # An index of two platforms, with an SBOM at one of them and a signature of each form at the whole.
    children = {}
    for platform in ("amd64", "arm64"):
        digest = source.image("team/index", f"build-{platform}", [BASE, platform.encode()])
        children[digest] = len(image_of([BASE, platform.encode()], seed=f"team/index:build-{platform}"))
        found[platform] = digest
    body = index_of(children)
    found["index"] = source.manifest("team/index", "latest", body, OCI_INDEX)
    size = {"index": len(body), "amd64": children[found["amd64"]]}
    for subject, name in (("index", "signature"), ("amd64", "sbom")):
        named = {"mediaType": OCI_INDEX if subject == "index" else OCI_MANIFEST, "digest": found[subject]}
        document: dict[str, Any] = {**ACCESSORY, "subject": {**named, "size": size[subject]}}
        found[name] = source.image("team/index", f"tmp-{name}", [name.encode()], **document)
        listed = len(image_of([name.encode()], seed=f"team/index:tmp-{name}", **document))
        fallback = found[subject].replace(":", "-")
        source.manifest("team/index", fallback, index_of({found[name]: listed}), OCI_INDEX)
        source.request("DELETE", f"/v2/team/index/manifests/tmp-{name}")
    cosign = found["index"].replace(":", "-") + ".sig"
    found["cosign"] = source.image("team/index", cosign, [b"cosign"])
    return found


async def run(naru: Naru, source: Distribution, *, dry_run: bool = False, **wanted: Any) -> Report:
    address = SourceAddress(source.url, USER, PASSWORD)
    async with importer(naru.core, address, Wanted(**wanted), project=None, dry_run=dry_run) as one:
        return await one.run()


async def digest(naru: Naru, name: str, reference: str) -> str | None:
    answer = await naru.admin.head(f"/v2/{name}/manifests/{reference}")
    return answer.headers["docker-content-digest"] if answer.status == 200 else None


async def whole(naru: Naru, name: str, reference: str) -> None:
    """Every manifest and blob below is served, each with the bytes of its digest."""
    body = (await naru.admin.get(f"/v2/{name}/manifests/{reference}")).body
    document = json.loads(body)
    for child in document.get("manifests", []):
        await whole(naru, name, child["digest"])
    for blob in [document["config"], *document["layers"]] if "layers" in document else []:
        data = (await naru.admin.get(f"/v2/{name}/blobs/{blob['digest']}")).body
        assert (sha256(data), len(data)) == (blob["digest"], blob["size"])


async def test_everything_of_the_catalogue_comes_over(
    naru: Naru, source: Distribution, content: dict[str, str]
) -> None:
    report = await run(naru, source, create=True)
    assert [(one.repository, one.tag) for one in report.failures] == [("alone", None)]
    assert "--into" in report.failures[0].reason
    for name, tag, expected in (
        ("team/app", "1.0", "1.0"),
        ("team/app", "2.0-rc1", "2.0-rc1"),
        ("team/docker", "latest", "docker"),
        ("team/index", "latest", "index"),
        ("other/deep/app", "latest", "other"),
    ):
        assert await digest(naru, name, tag) == content[expected]
        await whole(naru, name, tag)
    for subject, kinds in (("index", ["signature", "cosign"]), ("amd64", ["sbom"])):
        answer = await naru.admin.get(f"/v2/team/index/referrers/{content[subject]}")
        found = {one["digest"] for one in answer.json()["manifests"]}
        assert content[kinds[0]] in found
    assert await digest(naru, "team/index", content["index"].replace(":", "-") + ".sig") == content["cosign"]
    fallbacks = [tag for tag in (await naru.admin.get("/v2/team/index/tags/list")).json()["tags"] if "sha256" in tag]
    assert fallbacks == [content["index"].replace(":", "-") + ".sig"]  # the API of referrers stands for the others
    assert (report.copied, report.there, report.accessories) == (8, 0, 3)
    assert report.shared >= 3  # the base layer was sent once
    # Once more: nothing is sent.
    again = await run(naru, source)
    assert (again.copied, again.there, again.accessories, again.bytes, again.blobs) == (0, 8, 0, 0, 0)


@pytest.mark.parametrize(
    ("wanted", "tags"),
    [
        ({"repositories": ("team/app",)}, ["1.0", "1.1", "2.0-rc1"]),
        ({"repositories": ("team/app",), "tags": "1.*"}, ["1.0", "1.1"]),
        ({"repositories": ("team/a*",), "exclude_tags": "*-rc*"}, ["1.0", "1.1"]),
        ({"repositories": ("*/app",), "tags": "1.0"}, ["1.0"]),
    ],
)
async def test_filters(
    naru: Naru, source: Distribution, content: dict[str, str], wanted: dict[str, Any], tags: list[str]
) -> None:
    report = await run(naru, source, **wanted)
    assert (report.failures, report.copied) == ([], len(tags))
    assert (await naru.admin.get("/v2/team/app/tags/list")).json()["tags"] == tags


async def test_a_dry_run_tells_and_changes_nothing(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    await run(naru, source, repositories=("team/app",), tags="1.0")
    report = await run(naru, source, dry_run=True, repositories=("team/*",), create=True)
    rows = {row.source: row for row in report.rows}
    assert (rows["team/app:1.0"].action, rows["team/app:1.0"].bytes) == ("there", 0)
    second = rows["team/app:1.1"]
    config = len(json.dumps({"architecture": "amd64", "os": "linux", "seed": "team/app:1.1"}))
    assert (second.target, second.action, second.bytes) == ("team/app:1.1", "copy", 3000 + config)  # not the base layer
    assert await digest(naru, "team/app", "1.1") is None
    assert await digest(naru, "team/index", "latest") is None


async def test_into_one_registry(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    report = await run(naru, source, repositories=("alone", "other/deep/app"), into="team", strip="other/")
    assert report.failures == []
    assert await digest(naru, "team/alone", "latest") == content["alone"]
    assert await digest(naru, "team/deep/app", "latest") == content["other"]


async def test_the_quota_holds(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    operator = await naru.core.operator()
    team = await naru.core.registries.by_name(operator, "team")
    await naru.core.usage.set_quota(operator, team.id, len(BASE) + 5000)
    report = await run(naru, source, repositories=("team/app",), jobs=1)
    assert report.copied == 1
    assert len(report.failures) == 2
    assert all("quota" in one.reason for one in report.failures)


async def test_each_is_in_the_audit_log(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    await run(naru, source, repositories=("team/app",), tags="1.0")
    (row,) = await audit_rows(naru, "artifact.push")
    assert (row["resource"], row["detail"]["digest"]) == ("team/app:1.0", content["1.0"])


async def test_a_protected_tag_stays(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    own = await make.image(naru.admin, "team/app", "1.0")
    admin = await api(naru)
    await admin.call("POST", "/registries/team/immutabletagrules", {"tag": {"include": True, "pattern": "1.0"}})
    report = await run(naru, source, repositories=("team/app",))
    assert [(one.tag, "protection policy" in one.reason) for one in report.failures] == [("1.0", True)]
    assert report.copied == 2
    assert await digest(naru, "team/app", "1.0") == own.digest


async def test_what_is_missing_is_told(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    report = await run(naru, source, repositories=("team/app", "team/absent", "other/deep/app"))
    reasons = {one.repository: one.reason for one in report.failures}
    assert "has no repository 'team/absent'" in reasons["team/absent"]
    assert "naru registry create other" in reasons["other/deep/app"]
    assert report.copied == 3


async def test_a_wrong_password_is_told(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    address = SourceAddress(source.url, USER, "another-password")
    for wanted in (Wanted(), Wanted(("team/app",))):
        async with importer(naru.core, address, wanted, project=None, dry_run=False) as one:
            report = await one.run()
        assert len(report.failures) == 1
        assert "the user may not, or the password is another one" in report.failures[0].reason


async def test_damage_here_is_healed(naru: Naru, source: Distribution, content: dict[str, str]) -> None:
    """A tag that is here is passed over only when its bytes are."""
    await run(naru, source, repositories=("team/app",), tags="1.0")
    stored = [path for path in (naru.core.settings.data / "storage").rglob("*.*") if path.stat().st_size == 3000]
    assert len(stored) == 1
    stored[0].write_bytes(b"")
    layer = sha256(b"1.0" * 1000)
    assert (await naru.admin.get(f"/v2/team/app/blobs/{layer}")).status == 404  # found out
    report = await run(naru, source, repositories=("team/app",), tags="1.0")
    assert (report.copied, report.blobs, report.failures) == (1, 1, [])
    await whole(naru, "team/app", "1.0")


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("ftp://127.0.0.1", BadRequest, "http"),
        ("http://127.0.0.1/v2/", BadRequest, "further arguments"),
        ("http://u:p@127.0.0.1", BadRequest, "user or password"),
        ("http://host.invalid", OutboundError, "no address"),
    ],
)
async def test_addresses_that_are_none(naru: Naru, url: str, error: type[NaruError], words: str) -> None:
    with pytest.raises(error, match=words):
        async with importer(naru.core, SourceAddress(url), Wanted(), project=None, dry_run=False):
            pass


async def test_a_project_that_is_not_there(naru: Naru) -> None:
    with pytest.raises(NotFound):
        async with importer(naru.core, SourceAddress("http://127.0.0.1"), Wanted(), project="absent", dry_run=False):
            pass
