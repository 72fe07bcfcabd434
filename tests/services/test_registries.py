"""Registries: made, changed and deleted, with what they held."""

from __future__ import annotations

import pytest

from naru.core.errors import Conflict, NameInvalid, NameUnknown
from tests import make
from tests.conftest import Naru


async def test_names_that_no_registry_has(naru: Naru) -> None:
    for name in ["", "A", "a/b", "a__b", "a--b", "-a", "a ", "a" * 256, "..", "_catalog", "a\0", "나루"]:
        with pytest.raises(NameInvalid):
            await naru.registry(name)


async def test_one_of_a_name(naru: Naru) -> None:
    with pytest.raises(Conflict, match="'team' already"):
        await naru.registry("team")
    for unknown in (naru.delete_registry("none"), naru.change_registry("none", public_uri=False)):
        with pytest.raises(NameUnknown, match="there is no registry 'none'"):
            await unknown
    assert [registry.facts.name for registry in await naru.registries()] == ["team"]


async def test_a_registry_with_images_goes_only_with_them(naru: Naru) -> None:
    pushed = await make.image(naru.admin, "team/app", "1.0")
    await make.image(naru.admin, "team/app", "2.0", seed="other")
    with pytest.raises(Conflict, match="holds 1 image"):
        await naru.delete_registry("team")
    assert (await naru.admin.get("/v2/team/app/manifests/1.0")).body == pushed.manifest
    await naru.delete_registry("team", with_images=True)
    naru.clock.advance(3)
    for path in ("manifests/1.0", f"blobs/{next(iter(pushed.blobs))}", "tags/list"):
        answer = await naru.admin.get(f"/v2/team/app/{path}")
        assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
    assert (await naru.admin.get("/v2/_catalog")).json() == {"repositories": []}


async def test_the_next_registry_of_the_name_is_empty(naru: Naru) -> None:
    pushed = await make.image(naru.admin, "team/app", "1.0")
    await naru.delete_registry("team", with_images=True)
    await naru.registry("team")
    naru.clock.advance(3)
    for reference in ("1.0", pushed.digest):
        assert (await naru.admin.get(f"/v2/team/app/manifests/{reference}")).status == 404
    for digest in pushed.blobs:
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).status == 404
    body = (await naru.admin.put("/v2/team/app/manifests/1.0", pushed.manifest)).code
    assert body == "MANIFEST_BLOB_UNKNOWN"  # what was held before the deletion counts no more


async def test_what_only_the_deleted_registry_held_is_collected(naru: Naru) -> None:
    await naru.registry("other")
    shared = await make.blob(naru.admin, "team/app", b"in both")
    await make.blob(naru.admin, "other/app", b"in both")
    await make.image(naru.admin, "other/app", "1.0")
    await make.image(naru.admin, "team/app", "1.0")
    kept = {blob.key async for blob in naru.core.blobs.list()}
    await naru.delete_registry("team", with_images=True)
    await naru.core.collector.run()
    left = {blob.key async for blob in naru.core.blobs.list()}
    assert len(kept) - len(left) == 3  # the config and two layers of the image
    assert (await naru.admin.get(f"/v2/other/app/blobs/{shared}")).body == b"in both"


async def test_a_push_into_a_registry_that_is_deleted_meanwhile(naru: Naru) -> None:
    await naru.registry("brief")
    location = (await naru.admin.post("/v2/brief/app/blobs/uploads/")).headers["location"]
    await naru.admin.patch(location, b"data")
    await naru.delete_registry("brief")  # the guard's facts are up to two seconds old
    answer = await naru.admin.put(f"{location}?digest={make.sha256(b'data')}")
    assert answer.status == 404
    at_once = await naru.admin.post(f"/v2/brief/app/blobs/uploads/?digest={make.sha256(b'data')}", b"data")
    assert (at_once.status, at_once.code) == (404, "NAME_UNKNOWN")
    manifest = await naru.admin.put("/v2/brief/app/manifests/1", make.index_of([]), {"content-type": make.OCI_INDEX})
    assert (manifest.status, manifest.code) == (404, "NAME_UNKNOWN")
    await naru.core.collector.run()
    # What was sent stays where uploads are shared, until it is old: another process may be finishing it.
    left = [blob async for blob in naru.core.blobs.list()]
    assert len(left) == naru.core.area.shared
    naru.clock.advance(100 * 86_400)
    await naru.core.collector.orphans.sweep_old()
    assert [blob async for blob in naru.core.blobs.list()] == []


async def test_a_change_by_this_process_counts_at_once(naru: Naru) -> None:
    """Whatever was remembered of the registry, and of who was let in a moment ago."""
    await make.image(naru.admin, "team/app", "1.0")
    token = await naru.token(naru.admin, "repository:team/app:pull")
    nobody = naru.anonymous
    for change, anybody, signed_in in [
        ({"anonymous_pull": True}, 200, 200),
        ({"public_uri": False}, 401, 403),
        ({"anonymous_pull": False, "public_uri": True}, 401, 200),
    ]:
        await naru.change_registry("team", **change)
        assert (await nobody.get("/v2/team/app/manifests/1.0")).status == anybody
        assert (await token.get("/v2/team/app/manifests/1.0")).status == signed_in


async def test_a_change_counts_within_seconds(naru: Naru) -> None:
    await make.image(naru.admin, "team/app", "1.0")
    for change, nobody, admin in [
        ({"anonymous_pull": True}, 200, 200),
        ({"public_uri": False}, 401, 403),
        ({"anonymous_pull": False, "public_uri": True}, 401, 200),
    ]:
        await naru.change_registry("team", **change)
        naru.clock.advance(3)
        assert (await naru.anonymous.get("/v2/team/app/manifests/1.0")).status == nobody
        assert (await naru.admin.get("/v2/team/app/manifests/1.0")).status == admin
