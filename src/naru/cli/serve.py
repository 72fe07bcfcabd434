"""``naru serve``, ``naru worker`` and ``naru check-config``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

from naru import log as logs
from naru.cli.base import read_settings, show
from naru.core.errors import NaruError
from naru.core.names import registry_name
from naru.core.user_names import user_name
from naru.services.accounts import BootstrapResult
from naru.settings import Finding, Settings, check


@click.command()
@click.option("--public", metavar="ADDRESS:PORT", help="Public listener (NARU_PUBLIC).")
@click.option("--private", metavar="ADDRESS:PORT", help="Private listener (NARU_PRIVATE).")
@click.option("--metrics", metavar="ADDRESS:PORT", help="Listener for /metrics alone (NARU_METRICS).")
@click.option("--workers", type=int, help="Processes; one with SQLite (NARU_WORKERS).")
@click.option("--database-url", metavar="URL", help="Database (NARU_DATABASE_URL).")
@click.option("--blob-store-url", metavar="URL", help="Blob store (NARU_BLOB_STORE_URL).")
@click.option("--external-url", metavar="URL", help="Address that clients use (NARU_EXTERNAL_URL).")
@click.option("--tls-certificate", metavar="FILE", help="PEM file (NARU_TLS_CERTIFICATE).")
@click.option("--tls-key", metavar="FILE", help="PEM file (NARU_TLS_KEY).")
@click.pass_context
def serve(context: click.Context, /, **flags: Any) -> None:
    """Serve the registry until SIGTERM or Ctrl-C."""
    context.find_root().obj.update(flags)
    settings = _checked_settings()
    logs.configure(settings)
    if settings.workers == 1:
        _serve(settings)
        return
    from naru.server import claimed  # noqa: PLC0415
    from naru.server.workers import Workers  # noqa: PLC0415

    try:
        with claimed(settings):
            status = Workers(settings, _serve_beside_others).run()
    except OSError as error:
        raise click.ClickException(str(error.strerror or error)) from None
    context.exit(status)


def _serve(settings: Settings, parent: Connection | None = None) -> None:
    import uvloop  # noqa: PLC0415 - only the server pays for it

    from naru.server import serve as start  # noqa: PLC0415

    try:
        uvloop.run(start(settings, lambda made: _announce(settings, made), parent))
    except NaruError as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(str(error.strerror or error)) from None


def _serve_beside_others(settings: Settings, parent: Connection) -> None:
    """One process of several, which starts with nothing but its settings."""
    logs.configure(settings)
    try:
        _serve(settings, parent)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None


@click.command()
@click.option("--jobs", "job_workers", type=int, help="Jobs at once (NARU_JOB_WORKERS).")
@click.pass_context
def worker(context: click.Context, /, **flags: Any) -> None:
    """Run background jobs, without serving, until SIGTERM or Ctrl-C.

    `serve` runs them by itself. With SQLite one process does everything, so that this is refused while a server runs
    on the same data folder; with PostgreSQL any number of workers run beside the servers.
    """
    context.find_root().obj.update(flags)
    settings = _checked_settings()
    if not settings.job_workers:
        raise click.ClickException("NARU_JOB_WORKERS is 0, so that no job would run: give --jobs")
    place = settings.database
    if isinstance(place, Path) and not place.exists():
        raise click.ClickException("there is no database yet: start the server once, it makes the first accounts")
    logs.configure(settings)
    import uvloop  # noqa: PLC0415

    from naru.server import work  # noqa: PLC0415

    try:
        uvloop.run(work(settings))
    except NaruError as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(str(error.strerror or error)) from None


def _checked_settings() -> Settings:
    """The settings, after what is wrong or doubtful about them was shown. Exit status 2 for what is wrong."""
    settings = read_settings()
    findings = [*check(settings), *_bootstrap_names(settings)]
    show(findings)
    if any(finding.level == "error" for finding in findings):
        raise SystemExit(2)
    return settings


def _bootstrap_names(settings: Settings) -> Iterator[Finding]:
    """Names that the first start could not give."""
    try:
        for name in settings.bootstrap_registries:
            registry_name(name)
    except NaruError as error:
        yield Finding("error", "bootstrap_registries", error.message)
    place = settings.database
    if settings.bootstrap_user and not (isinstance(place, Path) and place.exists()):  # who is there already stays
        try:
            user_name(settings.bootstrap_user)
        except NaruError as error:
            yield Finding("error", "bootstrap_user", error.message)


def _announce(settings: Settings, made: BootstrapResult) -> None:
    """What was generated, shown this once, and what to do next. On a terminal's stderr, never in the log."""
    lines = []
    if made.password is not None:
        lines += [f"  administrator       {made.user}", f"  password            {made.password}"]
    if made.key is not None:
        lines += [f"  access key ID       {made.key.access_key}", f"  secret access key   {made.key.secret}"]
    if lines:
        click.echo("\nMade at this first start; shown once, write it down:\n" + "\n".join(lines), err=True)
        address = settings.external_url or settings.public
        host = address.partition("://")[2] or address
        if settings.external_url is None and host.startswith(("0.0.0.0:", "[::]:")):
            host = "{host}:" + host.rpartition(":")[2]
        click.echo(f"\nNext: {sys.argv[0]} registry create demo, then docker login {host}\n", err=True)


@click.command("check-config")
def check_config() -> None:
    """Say whether the settings are right and safe here. Exit status 2 when the server would not start."""
    _checked_settings()
    click.echo("the settings are good")
