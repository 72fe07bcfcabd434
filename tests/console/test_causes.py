"""What failed in the background is told in the language of the page."""

from __future__ import annotations

import re

import pytest

from naru.web.console.causes import CAUSES, cause, log
from naru.web.console.language import translations

KOREAN = translations("ko")
HANGUL = re.compile("[\uac00-\ud7a3]")


@pytest.mark.parametrize("sentence", CAUSES)
def test_every_cause_is_told_in_korean_with_its_values(sentence: str) -> None:
    came = re.sub(r"\{(\w+)\}", lambda place: f"<{place[1]}>", sentence)
    shown = cause(came, KOREAN)
    assert HANGUL.search(shown), shown
    for value in re.findall(r"\{(\w+)\}", sentence):
        assert f"<{value}>" in shown


def test_causes_within_causes_and_lines_of_a_log() -> None:
    came = "http://127.0.0.1:9 cannot be reached: Connect call failed ('127.0.0.1', 9)"
    assert cause(came, KOREAN) == "http://127.0.0.1:9에 연결할 수 없습니다: ('127.0.0.1', 9) 연결 실패"
    kept = (
        "kept: 'team/app:v1' cannot be deleted: protection policy 3 (images matching '**', tags matching 'v*') "
        "protects it; switch the policy off or change it first"
    )
    shown = log(f"2026-01-01T00:00:00Z {kept}\n2026-01-01T00:00:01Z what nobody knows\n", KOREAN).split("\n")
    assert shown[0].startswith("2026-01-01T00:00:00Z 남김: ")
    assert "protect" not in shown[0]
    assert shown[1:] == ["2026-01-01T00:00:01Z what nobody knows", ""]
    assert cause(came, translations("en")) == came
