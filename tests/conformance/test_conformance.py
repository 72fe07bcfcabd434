"""The OCI conformance suite: nothing fails, and the page of its results says what came out."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.conformance import DEFAULT, FULL, PAGE, SETUPS, Results, Setup, page, run, version
from tests.programs import absent, program

#: Mounts from an image that the token says nothing of: answered with an upload, on purpose.
NO_MOUNT = [
    f"{algorithm} blobs/{test}"
    for algorithm in ("sha256", "sha512")
    for test in ("mount/blob-mount", "mount anonymous/blob-mount-anonymous")
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """What each setup's run found, by its title."""
    suite = program("conformance")
    return {setup.title: run(suite, tmp_path_factory.mktemp("conformance"), setup) for setup in SETUPS}


@pytest.mark.parametrize(("setup", "skipped"), [(FULL, []), (DEFAULT, NO_MOUNT)], ids=["full", "default"])
def test_nothing_fails(results: dict[str, Results], setup: Setup, skipped: list[str]) -> None:
    found = results[setup.title]
    assert found.problems == ()
    assert (found.counts["failures"], found.counts["errors"], found.counts["disabled"]) == (0, 0, 0)
    assert found.counts["passed"] > 900
    assert found.skipped() == skipped


def test_the_page_says_what_came_out(results: dict[str, Results]) -> None:
    suite = Path(program("conformance"))
    if version().encode() not in suite.read_bytes():
        absent("conformance", f"it is another version than {version()}, which the page is about")
    assert PAGE.read_text(encoding="utf-8") == page([results[setup.title] for setup in SETUPS])
