"""The guide's example checks a signature as Naru makes it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from naru.core import webhooks

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guides" / "webhooks.md"


@pytest.fixture(scope="module")
def is_genuine() -> Callable[[dict[str, str], bytes, str], bool]:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    found: Callable[[dict[str, str], bytes, str], bool] = names["is_genuine"]
    return found


@pytest.mark.parametrize("secret", ["a long random text", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_the_example_of_the_guide(is_genuine: Callable[[dict[str, str], bytes, str], bool], secret: str) -> None:
    def sent(age: int = 0) -> dict[str, str]:
        return webhooks.headers(
            event_id="e",
            event_type="PUSH_ARTIFACT",
            delivery_id="d",
            content_type="application/json",
            timestamp=int(time.time()) - age,
            body=b"{}",
            authorization=None,
            secret=secret,
        )

    assert is_genuine(sent(), b"{}", secret)
    assert not is_genuine(sent(), b"{ }", secret)
    assert not is_genuine(sent(), b"{}", secret + "BBBB")
    assert not is_genuine(sent(age=400), b"{}", secret)
    assert not is_genuine(sent() | {"webhook-id": "other"}, b"{}", secret)
