from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from naru.storage.filesystem import filesystem_storage
from tests.contracts.filesystem import Store
from tests.contracts.storing import MAKERS, Storage, on_s3


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
    """With ``--store=s3`` the suite runs on an object store, else on those that need no other program."""
    if "maker" in metafunc.fixturenames:
        metafunc.parametrize("maker", ["s3"] if metafunc.config.getoption("--store") == "s3" else list(MAKERS))


@pytest.fixture
def storage(request: pytest.FixtureRequest, maker: str, root: Path) -> Storage:
    if maker == "s3":
        return Storage(root, *on_s3(request.getfixturevalue("s3").url()))
    return Storage(root, *MAKERS[maker](root))


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root, *filesystem_storage(root))
