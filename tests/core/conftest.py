from __future__ import annotations

import pytest
from hypothesis import settings

# No deadline: on a busy machine one slow example says nothing. What must be fast has a test of its own.
settings.register_profile("naru", deadline=None, max_examples=60)
settings.load_profile("naru")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Short names of test cases: some values are millions of bytes long."""
    return ascii(val[:40])[:40] if isinstance(val, str | bytes) else None
