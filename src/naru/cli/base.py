"""What the commands share: settings, running an operator's command, tables."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from naru.app import Core, build_core
from naru.core.errors import NaruError
from naru.settings import Finding, Settings, SettingsError, load

T = TypeVar("T")

as_json_option = click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
project_option = click.option("--project", metavar="NAME", help="Unset: the default project.")


def read_settings() -> Settings:
    flags = click.get_current_context().find_root().obj or {}
    try:
        return load(**flags)
    except SettingsError as error:
        show(list(error.findings))
        raise SystemExit(2) from None


def show(findings: list[Finding]) -> None:
    for finding in findings:
        name = f"{finding.setting}: " if finding.setting else ""
        click.echo(f"{finding.level}: {name}{finding.message}", err=True)


def run(work: Callable[[Core], Awaitable[T]], *, makes: bool = False) -> T:
    """Run an operator's command on the installation that the settings name. ``makes``: also where there is none yet.

    Exit status 1 and a sentence for what is refused or fails, 2 for settings and arguments that are wrong.
    """
    settings = read_settings()
    place = settings.database
    if not makes and isinstance(place, Path) and not place.exists():  # a folder that was misspelt: it is not made
        raise click.ClickException(
            f"there is no installation in {place.parent}: name its folder with --data or NARU_DATA, "
            "or start the server once, which makes one"
        )

    async def inside() -> T:
        core = build_core(settings)
        await core.start()
        try:
            return await work(core)
        finally:
            await core.aclose()

    try:
        return asyncio.run(inside())
    except NaruError as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")) from None


def ask_secret(what: str) -> str:
    """A secret that is never an argument, where every user of the machine would see it: asked for twice without echo,
    or the first line of what is piped in."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, confirmation_prompt=True, err=True))
    secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise click.ClickException(f"{what}: nothing came on standard input")
    return secret


def moment(microseconds: int | None) -> str | None:
    """A time in UTC, for a table."""
    if microseconds is None:
        return None
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows as a table, or as a JSON array of objects."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        return
    names = list(rows[0])
    cells = [[name.upper().replace("_", " ") for name in names]]
    cells += [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(value) or "-"
    return str(value)


class Progress:
    """A bar on the terminal for each stage; nothing where stderr is none."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = click.progressbar(length=total, label=f"{stage:10}", file=sys.stderr)
        self._bar.update(done - self._bar.pos)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None
