"""``naru migrate``, ``gc``, ``fsck``, ``adopt-key`` and ``version``."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from naru import __version__
from naru.app import Core
from naru.cli.base import Progress, as_json_option, run, table
from naru.services.fsck import Finding


@click.command()
def migrate() -> None:
    """Bring the database to the schema of this version (`serve` does it too)."""
    run(_nothing, makes=True)
    click.echo("the database has the schema of this version", err=True)


async def _nothing(_core: Core) -> None:
    return


@click.command()
@click.option("--now", is_flag=True, help="Also what the grace period protects. Only while no client pushes.")
def gc(now: bool) -> None:
    """Collect garbage that is due; `serve` does it by itself all the time."""

    async def work(core: Core) -> None:
        await core.accounts.default_project()  # see fsck
        ahead = core.settings.collection_grace_seconds + 1 if now else 0
        report = await core.collector.run_by_hand(
            ahead_seconds=ahead,
            progress=lambda so_far: (
                click.echo(f"\rlooked at {so_far.reviewed} links", err=True, nl=False) if sys.stderr.isatty() else None
            ),
        )
        click.echo(
            f"removed {report.blobs} blobs ({report.bytes} bytes), {report.files} files, "
            f"{report.uploads} abandoned uploads"
        )

    run(work)


@click.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option("--no-hash", is_flag=True, help="Compare sizes only; do not read every byte.")
@as_json_option
def fsck(repair: bool, no_hash: bool, as_json: bool) -> None:
    """Check that what is stored is what the database says. Exit status 1 when something is wrong and was not mended."""
    shown = Progress()

    async def work(core: Core) -> list[Finding]:
        # A database that was made just now knows no blob: mending would remove every file of a store that lost its own.
        await core.accounts.default_project()
        return await core.fsck.run(hash_bytes=not no_hash, repair=repair, progress=shown)

    findings = run(work)
    shown.close()
    table([asdict(finding) for finding in findings], as_json)
    open_findings = [finding for finding in findings if not finding.mended]
    click.echo(f"{len(findings)} findings, {len(findings) - len(open_findings)} mended", err=True)
    raise SystemExit(1 if open_findings else 0)


@click.command("adopt-key")
def adopt_key() -> None:
    """Make the key of this node (NARU_SECRET_KEY_FILE) the installation's, after the one before was lost.

    Every node needs the same file then, and a new start. Everybody signs in anew; secrets of webhooks have to be
    entered again.
    """

    async def work(core: Core) -> None:
        await core.accounts.default_project()  # see fsck
        await core.key(adopt=True)
        click.echo(f"the key of this installation is {core.settings.key_file}; start every node anew with it", err=True)

    run(work)


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)
