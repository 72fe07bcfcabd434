"""Object stores to test with, one interface for all: a started server with an empty bucket on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.azurite import running_azurite
from tests.google import running_google
from tests.s3 import running_s3


class Bucket(Protocol):
    """``kind`` is the scheme of its URL; ``secret`` must never be told to anybody."""

    @property
    def kind(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def secret(self) -> str: ...
    @property
    def credentials(self) -> Mapping[str, str]:
        """Variables of the environment, where the library that Naru uses looks for them."""

    @property
    def wrong(self) -> Mapping[str, str]:
        """Variables that make other credentials of them, in which "another-secret" is readable or encoded."""

    def url(self, prefix: str | None = None, *, endpoint: str | None = None) -> str:
        """For ``NARU_BLOB_STORE_URL``: a place of its own in the bucket. ``endpoint``: of what stands in between."""

    def raw(self, url: str) -> Any:
        """A client of ``obstore`` to the place itself, past everything that is Naru's."""


#: What ``--store`` may name, beside files.
RUNNING: dict[str, Callable[[Path], AbstractContextManager[Bucket]]] = {
    "s3": running_s3,
    "azure": running_azurite,
    "gcs": running_google,
}


def given(folder: Path, name: str) -> Iterator[Bucket]:
    """The store of that name, with its credentials in the environment."""
    with pytest.MonkeyPatch.context() as patch, RUNNING[name](folder) as bucket:
        for variable, value in bucket.credentials.items():
            patch.setenv(variable, value)
        yield bucket
