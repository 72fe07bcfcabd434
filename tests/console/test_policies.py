"""Policies of a registry in the console: protection, cleanup, webhooks. What pages show, what dialogs do and refuse."""

from __future__ import annotations

import re

import pytest

from tests import make
from tests.conftest import Naru
from tests.console.visitor import signed_in, text_of

PATTERNS = {"scope": "**", "scope_include": "true", "tag": "v*", "tag_include": "true"}


async def test_protection_from_the_first_policy_to_its_deletion(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    await make.image(naru.admin, "team/app", "v1")
    team = f"{base}/registries/team"
    page = text_of(await visitor.page(f"{team}/protection"))
    assert "No tag is protected yet" in page
    assert await visitor.done(f"{team}/new-protection-policy", PATTERNS) == f"{team}/protection"
    page = await visitor.page(f"{team}/protection")
    assert "Its tags are protected from now on." in text_of(page)
    rule = re.findall(r"/protection/(\d+)/change", page)[0]
    assert (await naru.admin.delete("/v2/team/app/manifests/v1")).status == 412
    twice = await visitor.post(f"{team}/new-protection-policy", PATTERNS)
    assert twice.status == 409
    assert "has a protection policy for images matching '**' and tags matching 'v*' already" in text_of(
        twice.body.decode()
    )
    await visitor.done(f"{team}/protection/{rule}/enabled", {"enabled": "false"})
    page = text_of(await visitor.page(f"{team}/protection"))
    assert "The protection policy is disabled." in page
    assert "Disabled" in page
    await visitor.done(f"{team}/protection/{rule}/change", {**PATTERNS, "tag_include": "false", "scope": "app"})
    page = text_of(await visitor.page(f"{team}/protection"))
    assert "Excluding v*" in page
    assert "Disabled" in page  # a change leaves it as it was
    assert 'value="false" selected' in await visitor.page(f"{team}/protection/{rule}/change")
    await visitor.done(f"{team}/protection/{rule}/enabled", {"enabled": "true"})
    await visitor.done(f"{team}/protection/{rule}/delete")
    assert (await naru.admin.delete("/v2/team/app/manifests/v1")).status == 202
    for path in (f"{rule}/change", f"{rule}/delete", "x/change", "99999999999999999999/delete"):
        assert (await visitor.get(f"{team}/protection/{path}")).status == 404


@pytest.mark.parametrize(
    ("pattern", "english", "korean"),
    [
        ("[", "a '[' has no ']'", "']'이 없습니다"),
        ("{a", "a '{' has no '}'", "'}'가 없습니다"),
        ("x" * 1025, "is too long", "너무 깁니다"),
    ],
)
async def test_a_wrong_pattern_is_told_beside_its_field(naru: Naru, pattern: str, english: str, korean: str) -> None:
    for language, expected in (("en", english), ("ko", korean)):
        visitor, base = await signed_in(naru, language)
        path = f"{base}/registries/team/new-protection-policy"
        answer = await visitor.post(path, {**PATTERNS, "tag": pattern, "scope_include": "false"})
        page = answer.body.decode()
        assert answer.status == 400
        fault = re.findall(r'id="e-tag" role="alert">.*?<span>(.*?)</span>', page, re.DOTALL)
        assert expected in text_of(fault[0])
        assert 'id="e-scope"' not in page
        assert re.search(r'name="tag"[^>]*aria-invalid="true"', page)
        assert '<option value="false" selected>' in page  # what was typed is still there


async def test_what_patterns_fit_is_told_as_they_are_typed(naru: Naru) -> None:
    visitor, base = await signed_in(naru)
    for number in range(12):
        await make.image(naru.admin, "team/app", f"v{number}", seed=str(number))
    await make.image(naru.admin, "team/web", "latest")
    matches = f"{base}/registries/team/matches"
    page = text_of(await visitor.page(f"{matches}?tag=v*"))
    assert "12 tags of 2 images fit now: app:v0 app:v1" in page
    assert "and 4 more" in page
    assert "1 tag of 1 image fit now: web:latest" in text_of(
        await visitor.page(f"{matches}?scope=app&scope_include=false")
    )
    assert "2 images fit, and none of their tags." in text_of(await visitor.page(f"{matches}?tag=zzz"))
    assert "No image fits now." in text_of(await visitor.page(f"{matches}?scope=zzz"))
    wrong = await visitor.get(f"{matches}?tag=[")
    assert wrong.status == 400
    assert "a '[' has no ']'" in text_of(wrong.body.decode())
    assert "<html" not in wrong.body.decode()
