"""``naru import``."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from naru.app import Core
from naru.app.importing import SourceAddress, importer
from naru.cli.base import project_option, run, table
from naru.core.importing import Wanted
from naru.services.importing import Progress, Report

#: Seconds between two lines of progress where stderr is no terminal, and between two drawings where it is one.
LINE_SECONDS = 10.0
DRAW_SECONDS = 0.1
_WIDTH = 24


@click.command("import")
@click.argument("source", metavar="SOURCE")
@click.argument("repositories", metavar="[REPOSITORY]...", nargs=-1)
@click.option("--into", metavar="REGISTRY", help="Registry here. Unset: the first part of each repository's name.")
@click.option("--strip", metavar="PREFIX", default="", help="Taken off the beginning of repositories' names.")
@click.option("--create", is_flag=True, help="Make registries that do not exist.")
@click.option("--tags", metavar="PATTERN", help="Only tags that match.")
@click.option("--exclude", metavar="PATTERN", help="Without repositories of the catalogue that match.")
@click.option("--exclude-tags", metavar="PATTERN", help="Without tags that match.")
@click.option("--no-referrers", is_flag=True, help="Without signatures, SBOMs and what else is attached to images.")
@click.option("--user", metavar="NAME", help="Sign in at the source; the password is asked for, or piped in.")
@click.option("--insecure", is_flag=True, help="Do not check the source's certificate.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Copied at once.")
@click.option("--dry-run", is_flag=True, help="Only list what would be copied.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@project_option
def import_(
    source: str,
    repositories: tuple[str, ...],
    user: str | None,
    insecure: bool,
    no_referrers: bool,
    dry_run: bool,
    as_json: bool,
    project: str | None,
    **wanted: Any,
) -> None:
    """Copy images from another registry: Harbor, Distribution, any that speaks OCI.

    SOURCE is https://host or https://host:port (http:// for one without TLS). Each REPOSITORY is a name or a pattern
    ('library/*'); without any, all of the source's catalogue is copied. What is here already is passed over, so that an
    import that was cut off is run again. Exit status 1 when something could not be copied.
    """
    address = SourceAddress(source, user, _password(user), verify=not insecure)
    shown = _Bar()

    async def work(core: Core) -> Report:
        await core.accounts.default_project()  # a database that was just made has none: the server is started first
        asked = Wanted(repositories=repositories, referrers=not no_referrers, **wanted)
        async with importer(core, address, asked, project=project, dry_run=dry_run) as one:
            return await one.run(shown)

    try:
        report = run(work)
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on with what is missing", err=True)
        raise SystemExit(130) from None
    finally:
        shown.close()
    _show(report, dry_run=dry_run, as_json=as_json)
    raise SystemExit(1 if report.failures else 0)


def _password(user: str | None) -> str | None:
    """Never an argument, where every user of the machine would see it."""
    if user is None:
        return None
    if sys.stdin.isatty():
        return str(click.prompt(f"Password of {user}", hide_input=True, err=True))
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.ClickException("--user needs a password: nothing came on standard input")
    return password


def _show(report: Report, *, dry_run: bool, as_json: bool) -> None:
    """Data on stdout (a dry run's list, what failed), the rest on stderr."""
    failures = [
        {"repository": one.repository, "tag": one.tag, "reason": one.reason}
        for one in sorted(report.failures, key=lambda one: (one.repository or "", one.tag or ""))
    ]
    if as_json:
        rows = [asdict(row) for row in report.rows]
        click.echo(json.dumps({**asdict(report), "failures": failures, "rows": rows}, indent=2))
    else:
        table([asdict(row) for row in sorted(report.rows, key=lambda row: row.source)], False)
        table(failures, False)
    if dry_run:
        copied = [row for row in report.rows if row.action == "copy"]
        size = amount(sum(row.bytes for row in copied))
        done = f"would copy {len(copied)} tags ({size} to send); {report.there} are here"
    else:
        done = (
            f"copied {report.copied} tags and {report.accessories} accessories ({report.blobs} blobs, "
            f"{amount(report.bytes)}; {report.shared} blobs were here in other images); {report.there} tags were here"
        )
    click.echo(f"{done}; {len(failures)} failed", err=True)
    if report.stopped is not None:
        click.echo(f"stopped early: {report.stopped}", err=True)


def amount(size: float) -> str:
    """Bytes for people: ``1.4 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


class _Bar:
    """A bar that grows with what was found, on a terminal; a line now and then elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._began = self._last = time.monotonic()
        self._drawn = False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < (DRAW_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._last = now
        report, found = progress.report, f"{progress.found}{'' if progress.listed else '+'}"
        speed = amount(report.bytes / max(now - self._began, 0.001))
        failed = f", {len(report.failures)} failed" if report.failures else ""
        text = f"{progress.done}/{found} tags{failed}, {amount(report.bytes)}, {speed}/s"
        if not self._terminal:
            click.echo(text, err=True)
            return
        filled = _WIDTH * progress.done // max(progress.found, 1)
        click.echo(f"\r[{'#' * filled}{'-' * (_WIDTH - filled)}] {text}\x1b[K", err=True, nl=False)
        self._drawn = True

    def close(self) -> None:
        if self._drawn:
            click.echo(err=True)
            self._drawn = False
