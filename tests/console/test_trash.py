"""The trash in the console: what was deleted, restoring it, removing it for good, and undoing a deletion at once."""

from __future__ import annotations

import re

import pytest

from naru.core.permissions import Role
from tests import make
from tests.api.client import api
from tests.conftest import Naru
from tests.console.visitor import PASSWORD, Visitor, signed_in, text_of


async def digest_of(naru: Naru, tag: str) -> int:
    return (await naru.admin.get(f"/v2/team/app/manifests/{tag}")).status


def undo_of(page: str) -> dict[str, str]:
    """The fields of the toast's form."""
    toast = page[page.index('id="toasts"') :]
    return {
        name: value.replace("&amp;", "&") for name, value in re.findall(r'name="(ids|next)" value="([^"]*)"', toast)
    }


@pytest.mark.parametrize("what", ["image", "artifact", "tag"])
async def test_each_deletion_offers_to_be_undone(naru: Naru, what: str) -> None:
    visitor, base = await signed_in(naru)
    image = await make.image(naru.admin, "team/app", "1.0")
    images = f"{base}/registries/team/images"
    at = f"{images}/app/-"
    form: dict[str, dict[str, object]] = {
        f"{images}/-/delete": {"image": "app"},
        f"{at}/delete-artifacts": {"digest": image.digest},
        f"{at}/artifacts/{image.digest}/delete-tags": {"tag": "1.0"},
    }
    path = list(form)[["image", "artifact", "tag"].index(what)]
    after = await visitor.done(path, form[path])
    assert await digest_of(naru, "1.0") == 404
    page = await visitor.page(after)  # also when the image went with its last artifact
    assert "deleted: 1" in text_of(page)
    fields = undo_of(page)
    assert fields["next"] == after
    assert await visitor.done(f"{base}/trash/undo", fields) == after
    assert await digest_of(naru, "1.0") == 200
    assert "Undone. Restored: 1." in text_of((await visitor.get(after)).body.decode())


async def test_what_took_its_place_keeps_a_deletion_in_the_trash(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    image = await make.image(naru.admin, "team/app", "1.0")
    at = f"{base}/registries/team/images/app/-"
    after = await visitor.done(f"{at}/delete-artifacts", {"digest": image.digest})
    fields = undo_of((await visitor.get(after)).body.decode())
    await make.image(naru.admin, "team/app", "1.0", seed="another")
    refused = await visitor.post(f"{base}/trash/undo", fields)
    assert refused.status == 409
    number = fields["ids"]
    dialog = await visitor.page(f"{base}/trash/restore?id={number}")
    assert "app" in dialog
    beside = await visitor.post(f"{base}/trash/restore", {"id": number, "taken": "refuse", "image": "app"})
    assert beside.status == 409
    assert 'role="alert"' in beside.body.decode()
    await visitor.done(f"{base}/trash/restore", {"id": number, "taken": "skip", "image": "app"})
    assert "Tags left as they are: 1." in text_of(await visitor.page(f"{base}/trash"))


async def test_the_list_tells_size_and_time_left_and_is_filtered(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    assert "The trash is empty" in await visitor.page(f"{base}/trash")
    await naru.registry("web")
    admin = await api(naru)
    for name, tag in (("team/app", "1.0"), ("team/app", "2.0"), ("web/shop", "3.0")):
        await make.image(naru.admin, name, tag, seed=tag)
    await admin.call("DELETE", "/registries/team/images/app/artifacts/1.0")
    await admin.call("DELETE", "/registries/web/images/shop")
    naru.clock.advance(86_400)
    await visitor.sign_in("admin", "admin-password-for-tests")
    page = text_of(await visitor.page(f"{base}/trash"))
    assert "team/app@sha256:" in page
    assert "6 d" in page
    naru.clock.advance(5.5 * 86_400)
    await visitor.sign_in("admin", "admin-password-for-tests")
    assert "12 h" in text_of(await visitor.page(f"{base}/trash"))
    for query, found, missing in (
        ("registry=web", "web/shop", "team/app"),
        ("kind=artifact", "team/app", "web/shop"),
        ("q=3.0", "web/shop", "team/app"),
        ("sort=-size", "web/shop", "nothing"),
    ):
        page = text_of(await visitor.page(f"{base}/trash?{query}"))
        assert found in page, query
        assert missing not in page, query
    assert "Nothing in the trash fits." in await visitor.page(f"{base}/trash?q=absent")


async def test_several_are_restored_to_where_they_were(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    admin = await api(naru)
    for tag in ("1.0", "2.0", "3.0"):
        await make.image(naru.admin, "team/app", tag, seed=tag)
    for tag in ("1.0", "2.0"):
        await admin.call("DELETE", f"/registries/team/images/app/artifacts/{tag}")
    await visitor.done(f"{base}/trash/restore", {"id": ["1", "2"], "taken": "refuse"})
    assert [await digest_of(naru, tag) for tag in ("1.0", "2.0")] == [200, 200]
    await admin.call("DELETE", "/registries/team/images/app/artifacts/3.0")
    await visitor.done(f"{base}/trash/restore", {"id": "3", "taken": "refuse", "image": "other"})
    assert (await naru.admin.get("/v2/team/other/manifests/3.0")).status == 200
    for form in ({"taken": "refuse"}, {"id": "x"}):
        assert (await visitor.post(f"{base}/trash/restore", form)).status == 400


async def test_deletions_are_given_up_one_by_one_and_all(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    admin = await api(naru)
    for tag in ("1.0", "2.0", "3.0"):
        await make.image(naru.admin, "team/app", tag, seed=tag)
        await admin.call("DELETE", f"/registries/team/images/app/artifacts/{tag}")
    assert "cannot be restored" in await visitor.page(f"{base}/trash/purge?id=1")
    await visitor.done(f"{base}/trash/purge", {"id": "1"})
    assert "2 deletions cannot be restored" in text_of(await visitor.page(f"{base}/trash/empty"))
    await visitor.done(f"{base}/trash/empty", {})
    assert "The trash is empty" in await visitor.page(f"{base}/trash")
    assert (await visitor.get(f"{base}/trash/restore?id=2")).status == 404


async def test_who_may_what(naru: Naru) -> None:
    _admin, base = await signed_in(naru)
    await make.image(naru.admin, "team/app", "1.0")
    await (await api(naru)).call("DELETE", "/registries/team/images/app")
    for role, restores, empties in (
        (Role.SERVICE_VIEWER, False, False),
        (Role.PROJECT_MEMBER, True, False),
        (Role.PROJECT_ADMIN, True, True),
    ):
        await naru.accounts.create_user(role, PASSWORD, [role])
        page = await (await Visitor(naru.anonymous).sign_in(role)).page(f"{base}/trash")
        assert "team/app" in page
        assert ("/trash/restore" in page.partition("<table")[2]) is restores, role
        assert ("/trash/empty" in page) is empties, role
        assert ("/trash/purge" in page) is empties, role


async def test_of_several_what_is_protected_stays(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    images = {tag: await make.image(naru.admin, "team/app", tag, seed=tag) for tag in ("v1", "main")}
    at = f"{base}/registries/team/images/app/-"
    await (await api(naru)).call(
        "POST", "/registries/team/immutabletagrules", {"tag": {"include": True, "pattern": "v*"}}
    )
    for path in (f"{at}/artifacts", f"{at}/artifacts/{images['v1'].digest}/tags"):
        page = text_of(await visitor.page(path))
        assert "Protected: v1" in page, path
        assert "Protected: main" not in page, path
    chosen = [one.digest for one in images.values()]
    dialog = await visitor.page(f"{at}/delete-artifacts?digest={chosen[0]}&digest={chosen[1]}")
    assert "1 stays, because tags of it are protected" in text_of(dialog)
    after = await visitor.done(f"{at}/delete-artifacts", {"digest": chosen})
    assert "Deleted: 1. Kept, protected or in use: 1." in text_of((await visitor.get(after)).body.decode())
    assert [await digest_of(naru, tag) for tag in images] == [200, 404]
    refused = await visitor.post(f"{at}/delete-artifacts", {"digest": chosen[0]})
    assert refused.status == 412
