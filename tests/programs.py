"""Programs that some tests need beside Python: skopeo, podman, Go tools and the like.

A test asks for one by ``program("skopeo")``. Where it is absent the test is skipped with the reason, so that the suite
works everywhere; with ``NARU_TEST_REQUIRE=all`` (or a comma-separated list of names) it fails instead, so that a
machine that should have everything cannot pass by skipping.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from importlib import metadata

import pytest


def required(name: str) -> bool:
    """Whether the absence of the optional part ``name`` is a failure here."""
    names = {part.strip() for part in os.environ.get("NARU_TEST_REQUIRE", "").split(",")}
    return "all" in names or name in names


def absent(name: str, reason: str) -> None:
    """End the running test: the optional part ``name`` cannot be used here. Skipped, or failed where it is required."""
    if required(name):
        pytest.fail(f"{name} is required here (NARU_TEST_REQUIRE), but {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")


def program(name: str) -> str:
    """The path of the program ``name``; the running test ends here when there is none."""
    path = shutil.which(name)
    if path is None:
        absent(name, "it is not installed")
    assert path is not None
    return path


def find_of_wheel(distribution: str, name: str) -> str | None:
    """The path of the program that a Python package brings, else of one on the path."""
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files(distribution) or ():
            if file.name == name:
                return str(file.locate())
    return shutil.which(name)


def of_wheel(distribution: str, name: str) -> str:
    """As ``find_of_wheel``; the running test ends here when there is none."""
    return find_of_wheel(distribution, name) or program(name)
