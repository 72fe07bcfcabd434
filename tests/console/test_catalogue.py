"""Images, artifacts and tags in the console: what is shown of them, making tags, deleting."""

from __future__ import annotations

import re

from tests import make
from tests.conftest import Naru
from tests.console import content
from tests.console.visitor import signed_in, text_of


async def test_images_are_deleted_after_what_goes_was_shown(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    for name in ("a", "b/c", "d"):
        await make.image(naru.admin, f"team/{name}", "1.0")
    path = f"{base}/registries/team/images/-/delete"
    page = text_of(await visitor.page(f"{path}?image=a&image=b/c"))
    assert "Delete 2 images" in page
    assert "team/b/c" in page
    assert await visitor.done(path, {"image": ["a", "b/c"]}) == f"{base}/registries/team/images"
    page = text_of(await visitor.page(f"{base}/registries/team/images"))
    assert "Images deleted: 2." in page
    assert "1\u20131 of 1" in page
    for query in ("", "?image=absent", "?image=../x"):
        assert (await visitor.get(path + query)).status in {400, 404}


async def test_all_that_is_known_of_an_artifact_is_shown(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    for name in ("web", "ml"):
        await naru.registry(name)
    await content.everything(naru.admin)
    shop = f"{base}/registries/web/images/shop/-/artifacts"
    page = text_of(await visitor.page(shop))
    for expected in ("1.8.2", "latest", "linux/amd64", "linux/arm64", "Signed", "1\u20133 of 3"):
        assert expected in page
    one = re.findall(r'href="([^"?]*/artifacts/sha256:[0-9a-f]{64})[?"]', await visitor.page(f"{shop}?q=1.8.2"))[0]
    pages = {tab: text_of(await visitor.page(f"{one}/{tab}".rstrip("/"))) for tab in TABS}
    for tab, expected_texts in TABS.items():
        for expected in expected_texts:
            assert expected in pages[tab], (tab, expected)
    kept = await visitor.get(f"{one}/manifest.json")
    assert make.sha256(kept.body) == one.rpartition("/")[2]
    assert kept.headers["content-disposition"].startswith("attachment")
    assert (await visitor.get(f"{one}/nothing")).status == 404
    latest = re.findall(r'href="([^"?]*/artifacts/sha256:[0-9a-f]{64})[?"]', await visitor.page(f"{shop}?q=latest"))[0]
    assert "Platforms" in await visitor.page(latest)


TABS = {
    "": ("docker pull registry.test/web/shop:1.8", "platform team", "153 kB"),
    "tags": ("1.8.2",),
    "layers": ("5 layers, 151 kB", "pip install --no-cache-dir", "74.3 kB", "layer 1", "gunicorn"),
    "config": ("APP_VERSION=1.8.2", "/srv", "8080/tcp", "org.opencontainers.image.version"),
    "annotations": ("no annotations",),
    "accessories": ("signature.cosign",),
    "referrers": ("application/vnd.dev.cosign.artifact.sig.v1+json", "MEUCIQDw"),
    "manifest": ("schemaVersion",),
}


async def test_tags_are_made_searched_and_deleted(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    image = await make.image(naru.admin, "team/app", "1.0")
    one = f"{base}/registries/team/images/app/-/artifacts/{image.digest}"
    assert await visitor.done(f"{one}/new-tag", {"tag": "stable"}) == f"{one}/tags"
    page = text_of(await visitor.page(f"{one}/tags"))
    assert "Tag “stable” was created." in page
    assert "stable" in text_of(await visitor.page(f"{one}/tags?q=tab"))
    assert "No tag has “zzz”" in text_of(await visitor.page(f"{one}/tags?q=zzz"))
    refused = await visitor.post(f"{one}/new-tag", {"tag": "no blanks"})
    assert refused.status == 400
    assert 'The tag "no blanks" is invalid' in text_of(refused.body.decode())
    assert await visitor.done(f"{one}/delete-tags", {"tag": ["stable", "1.0"]}) == f"{one}/tags"
    assert "This artifact has no tag" in text_of(await visitor.page(f"{one}/tags"))


async def test_artifacts_are_deleted_after_what_becomes_free_was_shown(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    image = await make.image(naru.admin, "team/app", "1.0")
    path = f"{base}/registries/team/images/app/-/delete-artifacts"
    assert re.search(r"[1-9][0-9.]* k?B become free", text_of(await visitor.page(f"{path}?digest={image.digest}")))
    assert await visitor.done(path, {"digest": image.digest}) == f"{base}/registries/team/images"  # it was the last
    assert (await naru.admin.get("/v2/team/app/manifests/1.0")).status == 404
    assert (await visitor.get(f"{path}?digest={image.digest}")).status == 404
