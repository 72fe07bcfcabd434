"""The short form of the fuzz target, with fixed seeds. The long form: ``python -m tests.fuzz.router``."""

from __future__ import annotations

import pytest

from naru.web.oci import routes
from tests.fuzz import router as target


def test_seeds_are_sound() -> None:
    assert all(any(target.check(seed, method, "") for method in target.METHODS) for seed in target.SEEDS)


def test_mutations_are_routed_or_refused() -> None:
    tally = target.run(seconds=1, seed=20)
    assert tally.routed > 10
    assert tally.refused > 10


def test_a_find_is_reported_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str) -> routes.Target:
        raise IndexError(path)

    monkeypatch.setattr(routes, "read_path", broken)
    with pytest.raises(IndexError) as caught:
        target.run(seconds=5, seed=1)
    assert "seed 1, input: check(" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("path", "kind", "name", "last"),
    [
        ("/v2/a/b/manifests/x", "manifest", "a/b", "x"),
        ("/v2/a/manifests/b/manifests/x", "manifest", "a/manifests/b", "x"),
        ("/v2/a/blobs/uploads/manifests/x", "manifest", "a/blobs/uploads", "x"),
        ("/v2/a/tags/list/tags/list", "tags", "a/tags/list", "list"),
        ("/v2/tags/list/tags/list", "tags", "tags/list", "list"),
        ("/v2/a/blobs/uploads/blobs/uploads/", "uploads", "a/blobs/uploads", ""),
        ("/v2/a/b/blobs/uploads", "uploads", "a/b", ""),
        ("/v2/a/b/blobs/uploads/x", "upload", "a/b", "x"),
        ("/v2/a/blobs/blobs/x", "blob", "a/blobs", "x"),
        ("/v2/a/referrers/b/referrers/x", "referrers", "a/referrers/b", "x"),
    ],
)
def test_a_path_is_read_from_its_end(path: str, kind: str, name: str, last: str) -> None:
    assert routes.read_path(path) == (kind, name, last)
