"""``fsck`` on damage made by hand: what it says, what it mends, and that mending loses nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from naru.core.digest import Digest, new_key
from naru.db import fsck as fsck_rows
from naru.db.blobs import mark_damaged
from naru.services.fsck import Finding
from tests import make
from tests.conftest import Naru

DAYS = 3 * 24 * 3600


async def fsck(naru: Naru, *, repair: bool = False) -> list[Finding]:
    return await naru.core.fsck.run(hash_bytes=True, repair=repair, progress=lambda *_: None)


def damage(naru: Naru, statement: str, *values: object) -> None:
    """By a connection of its own, which does not enforce foreign keys: as a broken disk or an eager hand would."""
    assert naru.rows(f"{statement} RETURNING 1", values)


async def file_of(naru: Naru, digest: str) -> Path:
    async for stored in naru.core.blobs.list():
        if digest.removeprefix("sha256:") in stored.key:
            path = naru.core.blobs.path(stored.key)
            assert path is not None
            return Path(path)
    raise AssertionError(digest)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "its file is missing"),
        (lambda path: os.truncate(path, 7), "its file has 7 bytes"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "its bytes have the digest"),
    ],
)
@pytest.mark.files_only
async def test_a_blob_that_went_bad(naru: Naru, harm: Callable[[Path], None], said: str) -> None:
    image = await make.image(naru.admin, "team/app")
    digest, data = list(image.blobs.items())[-1]
    harm(await file_of(naru, digest))
    (found,) = await fsck(naru)
    assert (found.kind, found.subject, found.mended) == ("blob", digest, False)
    assert said in found.message
    assert "team/app" in found.message
    (found,) = await fsck(naru, repair=True)
    assert "push the blob again" in found.message
    assert (await naru.admin.head(f"/v2/team/app/blobs/{digest}")).status == 404
    (found,) = await fsck(naru, repair=True)
    assert not found.mended, "only a push brings bytes back"
    await make.blob(naru.admin, "team/app", data)
    assert await fsck(naru) == []
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data


async def test_a_link_that_is_lost_comes_back_and_its_blob_stays(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app")
    digest, data = list(image.blobs.items())[-1]
    damage(naru, "DELETE FROM blob_links WHERE blob_id = (SELECT id FROM blobs WHERE digest = ?)", digest)
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).status == 404
    (found,) = await fsck(naru)
    assert (found.kind, found.subject, found.mended) == ("link", f"team/app, blob {digest}", False)
    (found,) = await fsck(naru, repair=True)
    assert found.mended
    assert await fsck(naru) == []
    naru.clock.advance(DAYS)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data
    assert await fsck(naru) == []


@pytest.mark.files_only
async def test_a_file_without_a_row_goes_when_it_is_old(naru: Naru) -> None:
    await make.image(naru.admin, "team/app")
    key = new_key(Digest.of(b"orphan"), "00000000")
    await naru.core.area.put(key, b"orphan")
    path = naru.core.blobs.path(key)
    assert path is not None
    now = naru.clock.now() / 1_000_000
    os.utime(path, (now, now))
    assert await fsck(naru) == [], "it may belong to a push under way"
    os.utime(path, (now - DAYS, now - DAYS))
    (found,) = await fsck(naru)
    assert (found.kind, found.subject, found.mended) == ("file", key, False)
    assert Path(path).exists()
    (found,) = await fsck(naru, repair=True)
    assert found.mended
    assert not Path(path).exists()
    assert await fsck(naru) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM artifact_children", "its children"),
        ("UPDATE artifact_children SET digest = 'sha256:other'", "its children"),
        ("UPDATE artifacts SET subject_digest = NULL", "its subject"),
        ("UPDATE artifacts SET manifest_size = 3", "its manifest_size"),
    ],
)
async def test_references_that_are_wrong_are_mended(naru: Naru, statement: str, said: str) -> None:
    one = await make.image(naru.admin, "team/app", "1")
    await make.manifest(naru.admin, "team/app", "all", make.index_of([one.manifest]), make.OCI_INDEX)
    subject = {"mediaType": make.OCI_MANIFEST, "digest": one.digest, "size": len(one.manifest)}
    await make.image(naru.admin, "team/app", "sbom", seed="sbom", subject=subject)
    assert await fsck(naru) == []
    damage(naru, statement)
    messages = [finding.message for finding in await fsck(naru) if finding.kind == "references"]
    assert messages
    assert all(said in message for message in messages)
    assert all(finding.mended for finding in await fsck(naru, repair=True))
    assert await fsck(naru) == []
    assert len((await naru.admin.get(f"/v2/team/app/referrers/{one.digest}")).json()["manifests"]) == 1


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE images SET artifact_count = 7", "count"),
        ("UPDATE images SET tag_count = 7", "count"),
        ("UPDATE registries SET used_bytes = used_bytes + 1", "usage"),
        ("DELETE FROM artifact_blobs WHERE blob_id = (SELECT max(blob_id) FROM artifact_blobs)", "references"),
    ],
)
async def test_rows_that_are_wrong_are_mended(naru: Naru, statement: str, kind: str) -> None:
    image = await make.image(naru.admin, "team/app")
    damage(naru, statement)
    assert kind in {finding.kind for finding in await fsck(naru)}
    findings = await fsck(naru, repair=True)
    assert kind in {finding.kind for finding in findings}
    assert all(finding.mended for finding in findings)
    assert await fsck(naru) == []
    naru.clock.advance(DAYS)
    await naru.core.collector.run()
    for digest, data in image.blobs.items():
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data


async def test_a_manifest_whose_bytes_are_wrong_is_told(naru: Naru) -> None:
    image = await make.image(naru.admin, "team/app")
    damage(naru, "UPDATE manifests SET content = CAST(content || ' ' AS BLOB)")
    (found,) = await fsck(naru, repair=True)
    assert (found.kind, found.subject, found.mended) == ("manifest", f"team/app@{image.digest}", False)


async def test_a_tag_without_its_artifact_goes(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "1")

    damage(naru, "INSERT INTO tags (image_id, name, artifact_id, pushed_at, pull_count) VALUES (1, 'lost', 99, 1, 0)")
    findings = await fsck(naru, repair=True)
    assert ("tag", "lost", True) in {(one.kind, one.subject, one.mended) for one in findings}
    assert await fsck(naru) == []


async def test_a_blob_that_was_away_for_a_while(naru: Naru) -> None:
    """Such as in a store whose address was wrong: what a pull then marked is whole, and need not be pushed again."""
    digest = await make.blob(naru.admin, "team/app", b"here all the time")
    found = await naru.core.database.read(lambda tx: fsck_rows.blobs_after(tx, 0, 10))
    await naru.core.database.write(lambda tx: mark_damaged(tx, found[0].id))
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).status == 404
    for repair, mended in ((False, False), (True, True)):
        [finding] = await naru.core.fsck.run(hash_bytes=True, repair=repair, progress=lambda *_: None)
        assert (finding.kind, finding.mended) == ("blob", mended)
        assert "right" in finding.message
    assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == b"here all the time"
    assert await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None) == []
