"""The short form of the fuzz targets, with fixed seeds. The long form: ``python -m tests.fuzz.manifest``."""

from __future__ import annotations

import pytest

from naru.core import manifest as manifests
from tests.fuzz import manifest as target


def test_seeds_are_sound() -> None:
    for seed in target.SEEDS:
        assert target.check(None, seed)


def test_mutations_are_accepted_or_refused() -> None:
    tally = target.run(seconds=1, seed=20)
    assert tally.accepted > 10
    assert tally.refused > 10


def test_a_find_is_reported_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(content_type: str | None, body: bytes) -> manifests.Manifest:
        raise RecursionError(f"{len(body)} {content_type}")

    monkeypatch.setattr(manifests, "parse", broken)
    with pytest.raises(RecursionError) as caught:
        target.run(seconds=5, seed=1)
    assert "seed 1, input: check(" in caught.value.__notes__[0]
