"""Write the pages of docs/reference that come from the code. ``tests/test_docs.py`` keeps them equal."""

from __future__ import annotations

from pathlib import Path

from naru.settings import reference

ROOT = Path(__file__).parent.parent


def pages() -> dict[Path, str]:
    """Every generated page and its text."""
    return {ROOT / "docs" / "reference" / "settings.md": reference()}


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
