"""One server for all clients' tests; a folder of its own for the clients of each test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.registry import Person, Registry, Shell
from tests.server import Server, running


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """With an administrator, a viewer and an uploader, registry ``team``, and ``open``, from which anybody may pull.

    Tests keep to images of their own.
    """
    with running(tmp_path_factory.mktemp("clients") / "data") as server:
        made = server.naru("registry", "create", "open", "--anonymous-pull")
        assert made.returncode == 0, made.stderr
        yield Registry(server, _person(server, "service-viewer"), _person(server, "image-uploader"))


def _person(server: Server, role: str) -> Person:
    made = server.naru("user", "create", role, "--role", role)
    assert made.returncode == 0, made.stderr
    shown = server.naru("key", "create", role, "--json")
    assert shown.returncode == 0, shown.stderr
    key = json.loads(shown.stdout)
    key = key[0] if isinstance(key, list) else key
    return Person(key["access_key_id"], key["secret_access_key"])


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")
