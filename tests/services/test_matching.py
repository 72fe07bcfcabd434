"""What patterns are about now: counted within bounds, told by name."""

from __future__ import annotations

import pytest

from naru.core.errors import NameUnknown
from naru.core.patterns import Selector
from naru.services import matching
from naru.services.matching import Matches, Matching
from tests import make
from tests.conftest import Naru


async def test_names_are_counted_up_to_a_bound(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    for image in ("a", "b", "c/d"):
        for tag in ("1", "2", "latest"):
            await make.image(naru.admin, f"team/{image}", tag, seed=image + tag)
    operator = await naru.core.operator()
    registry = (await naru.core.registries.by_name(operator, "team")).id
    finder = Matching(database=naru.core.database)

    async def found(scope: str, tag: str) -> Matches:
        selectors = [Selector.of(not one.startswith("!"), one.removeprefix("!")) for one in (scope, tag)]
        return await finder.find(operator, registry, selectors[0], selectors[1])

    assert await found("**", "latest") == Matches(3, 3, ("a:latest", "b:latest", "c/d:latest"), whole=True)
    assert await found("!**", "**") == Matches(0, 0, (), whole=True)
    assert await found("*", "!latest") == Matches(2, 4, ("a:1", "a:2", "b:1", "b:2"), whole=True)
    monkeypatch.setattr(matching, "TAGS", 4)
    assert await found("**", "**") == Matches(2, 4, ("a:1", "a:2", "a:latest", "b:1"), whole=False)
    monkeypatch.setattr(matching, "IMAGES", 2)
    assert await found("**", "1") == Matches(2, 2, ("a:1", "b:1"), whole=False)
    with pytest.raises(NameUnknown):
        await finder.find(operator, registry + 1000, Selector.of(None, None), Selector.of(None, None))
