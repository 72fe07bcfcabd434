"""``naru fsck`` and ``naru gc`` where there is nothing that they could compare with."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from naru.cli import main
from naru.core.digest import Digest, new_key
from naru.storage.filesystem import filesystem_storage


@pytest.mark.parametrize("command", [["fsck", "--repair"], ["gc", "--now"]])
def test_a_store_whose_database_is_lost_keeps_its_files(tmp_path: Path, command: list[str]) -> None:
    filesystem_storage(tmp_path / "storage")
    key = new_key(Digest.of(b"the last copy"), "00000000")
    blob = tmp_path / "storage" / "blobs" / key
    blob.parent.mkdir()
    blob.write_bytes(b"the last copy")
    os.utime(blob, (time.time() - 1_000_000,) * 2)
    answer = CliRunner().invoke(main, ["--data", str(tmp_path), *command])
    assert answer.exit_code == 1
    assert "start the server once" in answer.stderr
    assert blob.read_bytes() == b"the last copy"
