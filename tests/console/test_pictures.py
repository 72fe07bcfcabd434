"""The pictures in the documents: each is there, is shown and is small, and its page opens as when it was taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.console.demo import HOST, demo
from tests.console.pictures import IMAGES, PICTURES, Picture, smaller
from tests.console.visitor import text_of

ROOT = IMAGES.parents[1]
LARGEST = 150_000
PNG = b"\x89PNG\r\n\x1a\n"


def shown(page: str) -> list[Path]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [((ROOT / page).parent / one).resolve() for one in re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", text)]


def test_documents_show_each_picture_and_no_other() -> None:
    assert len(shown("README.md")) == 2
    everywhere = {one for page in ("README.md", "docs/guides/console.md") for one in shown(page)}
    taken = {IMAGES / f"{one.name}.png" for one in PICTURES}
    assert everywhere == taken == set(IMAGES.iterdir()), "make screenshots"
    assert {one.language for one in PICTURES} == {"en", "ko"}
    assert {one.theme for one in PICTURES} == {"light", "dark"}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda one: one.name)
def test_a_picture_is_one_and_small(picture: Picture) -> None:
    data = (IMAGES / f"{picture.name}.png").read_bytes()
    assert data.startswith(PNG)
    assert len(data) < LARGEST, "make screenshots"
    assert smaller(data) == data, "it is packed"


async def test_their_pages_are_there_and_show_what_they_did(tmp_path: Path) -> None:
    async with demo(tmp_path / "data") as made:
        for picture in PICTURES:
            made.visitor.language = picture.language
            answer = await made.visitor.get(picture.address(made), host=HOST)
            assert answer.status == 200, picture.name
            assert picture.shows in text_of(answer.body.decode()), picture.name
