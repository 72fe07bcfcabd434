"""Write the pages of docs/reference that come from the code. ``tests/test_docs.py`` keeps them equal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from naru.cli import main as naru
from naru.settings import reference
from naru.web.api.envelope import meanings

ROOT = Path(__file__).parent.parent


def commands() -> str:
    """The page of the command line, in Markdown: every command with its help."""
    lines = [
        "# Commands",
        "",
        "<!-- Written by `make docs` from src/naru/cli.py: change it there. -->",
        "",
        "From a clone the command is `.venv/bin/naru`. Every option of [Settings](settings.md) can be given by the",
        "environment or the file as well. Data goes to stdout, everything else to stderr.",
    ]
    for path, command in walk("naru", naru):
        context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100, color=False)
        text = re.sub(r"[ \t]+$", "", command.get_help(context), flags=re.MULTILINE)
        lines += ["", f"## {path}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def api_errors() -> str:
    """The page of the public API's result codes, in Markdown."""
    lines = [
        "# Result codes of the API",
        "",
        "<!-- Written by `make docs` from web/api/envelope.py and core/errors.py of src/naru: change it there. -->",
        "",
        "Every answer of the public API is HTTP 200. Its `header` says how it went: `isSuccessful`, `resultCode`, and",
        "`resultMessage`, which says what was wrong, with which value, and what to do. A running server shows all",
        "operations at `/api/docs`.",
        "",
        "| resultCode | Meaning |",
        "|---|---|",
        "| 200 | Success. |",
    ]
    lines += [f"| {code} | {text.replace('|', chr(92) + '|')} |" for code, text in meanings().items()]
    return "\n".join(lines) + "\n"


def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A command and, below a group, all of its commands, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            if not command.commands[name].hidden:
                yield from walk(f"{path} {name}", command.commands[name])


def pages() -> dict[Path, str]:
    """Every generated page and its text."""
    folder = ROOT / "docs" / "reference"
    return {
        folder / "settings.md": reference(),
        folder / "commands.md": commands(),
        folder / "api-errors.md": api_errors(),
    }


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
