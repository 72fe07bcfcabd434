from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from naru.storage.filesystem import filesystem_storage
from tests.contracts.filesystem import Store
from tests.contracts.storing import MAKERS, Storage, on_objects


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With ``--store`` of an object store the suite runs on that, else on those that need no other program."""
    if "maker" in metafunc.fixturenames:
        store = metafunc.config.getoption("--store")
        metafunc.parametrize("maker", list(MAKERS) if store == "files" else [store])


@pytest.fixture
def storage(request: pytest.FixtureRequest, maker: str, root: Path) -> Storage:
    if maker not in MAKERS:
        return Storage(root, *on_objects(request.getfixturevalue("bucket").url()))
    return Storage(root, *MAKERS[maker](root))


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root, *filesystem_storage(root))
