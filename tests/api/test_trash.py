"""The trash by the API: what is deleted comes back whole, or is freed when its time is over."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from naru.core.trash import TrashRule
from naru.db.engine import execute
from tests import make
from tests.api.client import api, audit_rows
from tests.conftest import Naru
from tests.trashing import (
    APP,
    BAD,
    DENIED,
    NO_NAME,
    UNKNOWN,
    bytes_of,
    clean,
    restore,
    status,
    trash,
    usage,
)


async def test_an_artifact_comes_back_as_it_was(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    other = await make.image(naru.admin, "team/app", "2", seed="other")
    await admin.call("POST", f"{APP}/artifacts/1/tags", {"name": "stable"})
    for _ in range(3):
        assert (await naru.admin.get("/v2/team/app/manifests/1")).status == 200
    await naru.application._activity.flush()
    before = (await admin.call("GET", f"{APP}/artifacts/1"))["artifact"]
    assert before["pull_count"] == 3
    naru.clock.advance(100)

    await admin.call("DELETE", f"{APP}/artifacts/{image.digest}")

    (deletion,) = await trash(admin)
    assert (deletion["kind"], deletion["image"], deletion["digest"]) == ("artifact", "app", image.digest)
    assert (deletion["tags"], deletion["tag_count"], deletion["artifact_count"]) == (["1", "stable"], 2, 1)
    assert (deletion["size"], deletion["deleted_by"]) == (bytes_of(image), "admin")
    assert deletion["expiry_time"][:10] > deletion["deletion_time"][:10]
    assert (await admin.call("GET", f"/trash/{deletion['id']}"))["deletion"] == deletion
    assert await usage(admin) == (bytes_of(other), bytes_of(image))
    assert [await status(naru, one) for one in ("1", "stable", image.digest)] == [404] * 3
    assert [one["digest"] for one in (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]] == [other.digest]
    assert await naru.admin.get("/v2/_catalog") is not None
    await clean(naru)

    done = await restore(admin, deletion)

    assert done == {"image": "team/app", "artifact_count": 1, "tag_count": 2, "left_out": []}
    assert (await admin.call("GET", f"{APP}/artifacts/1"))["artifact"] == before  # ids, counts, times, tags
    assert await trash(admin) == []
    assert await usage(admin) == (bytes_of(image, other), 0)
    assert (await naru.admin.get("/v2/team/app/manifests/stable")).body == image.manifest
    for digest, data in image.blobs.items():
        assert (await naru.admin.get(f"/v2/team/app/blobs/{digest}")).body == data
    moves = (await admin.call("GET", f"{APP}/tag-history?tag=1"))["tag_history"]
    assert [one["action"] for one in moves] == ["create", "delete", "create"]
    (row,) = await audit_rows(naru, "trash.restore")
    assert (row["resource"], row["actor"]) == (f"team/app@{image.digest}", "admin")
    (deleted,) = await audit_rows(naru, "artifact.delete")
    assert f'"trash": {deletion["id"]}' in str(deleted["detail"]).replace("'", '"')
    assert await admin.refused("POST", f"/trash/{deletion['id']}/restore", {}) == UNKNOWN
    await clean(naru)


async def test_an_index_comes_back_with_children_and_accessories(naru: Naru) -> None:
    admin = await api(naru)
    one, two = [await make.image(naru.admin, "team/app", seed, seed=seed) for seed in ("a", "b")]
    body = make.index_of([one.manifest, two.manifest])
    index = await make.manifest(naru.admin, "team/app", "multi", body, make.OCI_INDEX)
    signature = await make.image(naru.admin, "team/app", index.replace(":", "-") + ".sig", seed="signature")
    await naru.admin.delete("/v2/team/app/manifests/a")  # b keeps its tag, so it outlives the index
    listed = (await admin.call("GET", f"{APP}/artifacts?with_accessory=true"))["artifacts"]
    await admin.call("DELETE", f"{APP}/artifacts/multi")
    assert [await status(naru, digest) for digest in (index, one.digest, signature.digest, two.digest)] == [
        404,
        404,
        404,
        200,
    ]
    (deletion,) = await trash(admin)
    assert deletion["artifact_count"] == 3
    await clean(naru)
    await restore(admin, deletion)
    assert (await admin.call("GET", f"{APP}/artifacts?with_accessory=true"))["artifacts"] == listed
    assert [await status(naru, digest) for digest in (index, one.digest, signature.digest)] == [200] * 3
    await clean(naru)


async def test_a_subject_whose_signature_was_pushed_again(naru: Naru) -> None:
    """The signature is listed by itself while its subject is in the trash, and under it again then."""
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await admin.call("DELETE", f"{APP}/artifacts/1")
    signature = await make.image(naru.admin, "team/app", image.digest.replace(":", "-") + ".sig", seed="signature")
    await clean(naru)
    assert [one["digest"] for one in (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]] == [signature.digest]
    await restore(admin, (await trash(admin))[0])
    assert [one["digest"] for one in (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]] == [image.digest]
    await clean(naru)


async def test_a_tag_alone(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await naru.admin.get("/v2/team/app/manifests/1")
    await naru.application._activity.flush()
    (before,) = (await admin.call("GET", f"{APP}/artifacts/1/tags"))["tags"]
    naru.clock.advance(60)
    await admin.call("DELETE", f"{APP}/artifacts/1/tags/1")
    (deletion,) = await trash(admin, "&kind=tag")
    assert (deletion["tags"], deletion["digest"], deletion["artifact_count"]) == (["1"], image.digest, 0)
    assert await status(naru, "1") == 404
    assert await usage(admin) == (bytes_of(image), 0)
    assert await admin.refused("POST", f"/trash/{deletion['id']}/restore", {"image": "other"}) == BAD
    await restore(admin, deletion)
    (after,) = (await admin.call("GET", f"{APP}/artifacts/1/tags"))["tags"]
    assert after | {"id": 0} == before | {"id": 0}
    await clean(naru)


@pytest.mark.parametrize("again", ["", "another", "same"])
async def test_an_image(naru: Naru, again: str) -> None:
    """Restored where it was, or into the image that was pushed there meanwhile."""
    admin = await api(naru)
    images = [await make.image(naru.admin, "team/app", seed, seed=seed) for seed in ("a", "b")]
    await admin.call("POST", f"{APP}/artifacts/a/tags", {"name": "c"})
    before = (await admin.call("GET", APP))["image"]
    await admin.call("DELETE", APP)
    (deletion,) = await trash(admin)
    assert (deletion["kind"], deletion["artifact_count"], deletion["tag_count"]) == ("image", 2, 3)
    assert deletion["size"] == bytes_of(*images)
    assert await admin.refused("GET", APP) == NO_NAME
    assert (await naru.admin.get("/v2/_catalog")).json()["repositories"] == []
    assert (await naru.admin.get("/v2/team/app/tags/list")).status in {200, 404}
    if again:
        seed = {"another": "new", "same": "a"}[again]
        images.append(await make.image(naru.admin, "team/app", f"new-{seed}", seed=seed))
    await clean(naru)
    done = await restore(admin, deletion)
    assert done["tag_count"] == 3
    shown = (await admin.call("GET", APP))["image"]
    if not again:
        assert shown == before | {"update_time": shown["update_time"]}
    for tag, image in (("a", images[0]), ("b", images[1]), ("c", images[0])):
        answer = await naru.admin.get(f"/v2/team/app/manifests/{tag}")
        assert answer.body == image.manifest
    assert await usage(admin) == (bytes_of(*{one.digest: one for one in images}.values()), 0)
    moves = (await admin.call("GET", f"{APP}/tag-history?tag=c"))["tag_history"]
    assert moves[-1]["action"] == "create"
    assert (await audit_rows(naru, "trash.restore"))[0]["resource"] == "team/app"
    await clean(naru)
    naru.clock.advance(10**6)
    await naru.core.collector.run()
    assert await usage(admin) == (bytes_of(*{one.digest: one for one in images}.values()), 0)
    await clean(naru)


async def test_what_is_pushed_while_it_is_in_the_trash(naru: Naru) -> None:
    """It shares the blobs, adds its pulls when the other comes back, and neither takes the other along."""
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await naru.admin.get("/v2/team/app/manifests/1")
    await naru.application._activity.flush()
    await admin.call("DELETE", f"{APP}/artifacts/1")
    (deletion,) = await trash(admin)
    naru.clock.advance(86_400)
    await naru.core.collector.run()
    assert (await make.image(naru.admin, "team/app", "2")).digest == image.digest
    assert await usage(admin) == (bytes_of(image), len(image.manifest))
    count = await naru.core.database.read(lambda tx: execute(tx, "SELECT count(*) FROM blobs").fetchone()[0])
    assert count == len(image.blobs)
    done = await restore(admin, deletion)
    assert (done["artifact_count"], done["tag_count"]) == (0, 1)
    (shown,) = (await admin.call("GET", f"{APP}/artifacts"))["artifacts"]
    assert ([tag["name"] for tag in shown["tags"]], shown["pull_count"]) == (["1", "2"], 1)
    await clean(naru)


async def test_expiry_frees_the_bytes_and_nothing_before(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await admin.call("DELETE", f"{APP}/artifacts/1")
    naru.clock.advance(7 * 86_400 - 60)
    report = await naru.core.collector.run(ahead_seconds=10**7)
    assert (report.blobs, report.deletions) == (0, 0)
    assert len(await trash(admin)) == 1
    naru.clock.advance(61)
    report = await naru.core.collector.run()
    assert (report.blobs, report.files, report.deletions) == (len(image.blobs), len(image.blobs), 1)
    assert await trash(admin) == []
    assert await usage(admin) == (0, 0)
    assert (await naru.core.collector.run()).blobs == 0
    await clean(naru)


async def test_removing_for_good(naru: Naru) -> None:
    admin = await api(naru)
    await naru.registry("second")
    for registry in ("team", "second"):
        for tag in "123":
            await make.image(naru.admin, f"{registry}/app", tag, seed=registry + tag)
            await admin.call("DELETE", f"/registries/{registry}/images/app/artifacts/{tag}")
    member = await api(naru, await naru.client("member", Role.PROJECT_MEMBER))
    first = (await trash(admin, "&registry=team"))[0]
    assert await member.refused("DELETE", f"/trash/{first['id']}") == DENIED
    assert await member.refused("DELETE", "/trash") == DENIED
    await admin.call("DELETE", f"/trash/{first['id']}")
    assert len(await trash(admin)) == 5
    assert await admin.refused("DELETE", f"/trash/{first['id']}") == UNKNOWN
    assert await admin.refused("DELETE", "/trash?registry=absent") == NO_NAME
    assert (await admin.call("DELETE", "/trash?registry=team"))["deletions"] == 2
    assert {one["registry"] for one in await trash(admin)} == {"second"}
    assert await usage(admin) == (0, 0)
    await restore(member, (await trash(member))[0])
    assert (await admin.call("DELETE", "/trash"))["deletions"] == 2
    naru.clock.advance(8000)
    assert (await naru.core.collector.run()).deletions == 5
    assert [row["resource"] for row in await audit_rows(naru, "trash.purge")] == ["trash", "team", "team/app"]
    await clean(naru)


async def test_lists(naru: Naru) -> None:
    admin = await api(naru)
    digests = {}
    for number, image in enumerate(("app", "tools/app", "web")):
        pushed = await make.image(naru.admin, f"team/{image}", f"v{number}", seed=image, layers=3 - number)
        digests[image] = pushed.digest
        naru.clock.advance(1)
        await admin.call("DELETE", f"/registries/team/images/{image.replace('/', '%2F')}/artifacts/v{number}")
    deleter = await api(naru, await naru.client("kim", Role.PROJECT_MEMBER))
    await make.image(naru.admin, "team/web", "x")
    await deleter.call("DELETE", "/registries/team/images/web")

    async def images(query: str) -> list[str]:
        return [one["image"] for one in await trash(admin, query)]

    assert await images("") == ["web", "web", "tools/app", "app"]
    assert await images("&image=app") == ["app"]
    assert await images("&q=APP") == ["tools/app", "app"]
    assert await images("&q=v1") == ["tools/app"]
    assert await images(f"&q={digests['app'][10:30]}") == ["app"]
    assert await images("&kind=image") == ["web"]
    assert await images("&deleted_by=kim") == ["web"]
    assert await images("&registry=absent") == []
    assert await images("&q=%25") == []
    assert await images("&sort=deletion_time") == ["app", "tools/app", "web", "web"]
    assert (await images("&sort=-size"))[0] == "app"
    assert await admin.refused("GET", "/trash?sort=name") == BAD
    assert await admin.refused("GET", "/trash?kind=blob") == BAD
    answer = await admin.send("GET", "/trash?page_size=3&page=2")
    assert [one["image"] for one in answer.json()["trash"]] == ["app"]
    assert answer.headers["x-total-count"] == "4"
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    assert len(await trash(viewer)) == 4
    first = (await trash(viewer))[0]
    assert await viewer.refused("POST", f"/trash/{first['id']}/restore", {}) == DENIED


@pytest.mark.options(trash_days=0)
async def test_switched_off(naru: Naru) -> None:
    admin = await api(naru)
    for number in range(3):
        await make.image(naru.admin, f"team/app{number}", "1", seed=str(number))
    await admin.call("DELETE", "/registries/team/images/app0")
    await admin.call("DELETE", "/registries/team/images/app1/artifacts/1")
    await admin.call("DELETE", "/registries/team/images/app2/artifacts/1/tags/1")
    assert await trash(admin) == []
    assert (await usage(admin))[1] == 0
    naru.clock.advance(8000)
    assert (await naru.core.collector.run()).blobs == 6
    await clean(naru)


@pytest.mark.parametrize("docker", [False, True])
def test_deletions_by_docker(docker: bool) -> None:
    assert (TrashRule(7, docker=docker).until(1, docker=True) is not None) == docker
    assert TrashRule(7, docker=docker).until(1) == 7 * 86_400_000_000 + 1
    assert TrashRule(0, docker=docker).until(1, docker=True) is None


@pytest.mark.options(trash_docker_deletes=True)
async def test_deletions_by_docker_can_go_there_too(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await naru.admin.delete("/v2/team/app/manifests/1")
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    artifact, tag = await trash(admin)
    assert (artifact["kind"], tag["kind"]) == ("artifact", "tag")
    await restore(admin, artifact)
    await restore(admin, tag)
    assert (await naru.admin.get("/v2/team/app/manifests/1")).body == image.manifest


async def test_deletions_by_docker_are_final(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app", "1")
    await naru.admin.delete("/v2/team/app/manifests/1")
    await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
    assert await trash(admin) == []


async def test_a_quota_bounds_the_trash(naru: Naru) -> None:
    """As much again as the quota, and the oldest go first."""
    admin = await api(naru)
    images = [await make.image(naru.admin, "team/app", str(number), seed=str(number)) for number in range(3)]
    await admin.call("PUT", "/registries/team/quota", {"limit_storage": bytes_of(*images[:2]) + 10})
    for number in range(3):
        await admin.call("DELETE", f"{APP}/artifacts/{number}")
    assert len(await trash(admin)) == 3
    await naru.core.collector.run()
    assert [one["tags"] for one in await trash(admin)] == [["2"], ["1"]]
    await clean(naru)


@pytest.mark.options(allow_sparse_manifests=True)
async def test_a_blob_that_came_meanwhile(naru: Naru) -> None:
    """A manifest that was pushed before one of its blobs uses it when it comes back."""
    admin = await api(naru)
    config, layer = b"{}", b"late" * 100
    await make.blob(naru.admin, "team/app", config)
    body = make.manifest_of(config, [layer])
    await make.manifest(naru.admin, "team/app", "1", body)
    await admin.call("DELETE", f"{APP}/artifacts/1")
    await make.blob(naru.admin, "team/app", layer)
    await clean(naru)
    await restore(admin, (await trash(admin))[0])
    assert await usage(admin) == (len(config) + len(body) + len(layer), 0)
    naru.clock.advance(10**6)
    await naru.core.collector.run()
    assert (await naru.admin.get(f"/v2/team/app/blobs/{make.sha256(layer)}")).body == layer
    await clean(naru)
