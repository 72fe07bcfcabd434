"""Bare connections that are closed when the test ends, however it does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.crash.wire import connect

Dial = Callable[..., socket.socket]


@pytest.fixture
def dial() -> Iterator[Dial]:
    """``tests.crash.wire.connect``."""
    with ExitStack() as stack:

        def dialled(port: int, *, receive_buffer: int | None = None, timeout: float = 30) -> socket.socket:
            return stack.enter_context(closing(connect(port, receive_buffer=receive_buffer, timeout=timeout)))

        yield dialled
