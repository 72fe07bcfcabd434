from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from naru.storage.filesystem import filesystem_storage


@pytest.fixture(scope="session")
def made_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files") / "store"
    filesystem_storage(root)
    return root


@pytest.fixture
def root(made_root: Path) -> Iterator[Path]:
    """The root of an empty file store. Its folders are made once, its files are removed after each test."""
    yield made_root
    for folder, _, names in os.walk(made_root):
        for name in names:
            (Path(folder) / name).unlink()
