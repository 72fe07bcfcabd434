"""``naru migrate-blobs``: from files into an object store."""

from __future__ import annotations

import sys

import click

from naru.app import Core
from naru.app.moving import build_mover
from naru.cli.base import run
from naru.services.moving import Move


@click.command("migrate-blobs")
@click.option("--to", "url", metavar="URL", help="The object store, as blob_store_url. Unset: that setting.")
def migrate_blobs(url: str | None) -> None:
    """Copy the content of images from files into an object store, while the server runs.

    What is there already is not copied again: run it as often as needed, also after it was broken off. Exit status 1
    when some blob could not be copied.
    """

    async def work(core: Core) -> Move:
        await core.accounts.default_project()  # of a new, empty database nothing could be moved
        try:
            mover = build_mover(core, url)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        return await mover.run(_show)

    move = run(work)
    if sys.stderr.isatty():
        click.echo(err=True)
    for digest, problem in move.problems:
        click.echo(f"{digest}: {problem}", err=True)
    click.echo(
        f"{move.total} blobs: {move.copied} copied ({move.bytes} bytes), {move.there} were there, "
        f"{move.gone} went away meanwhile, {len(move.problems)} could not be copied"
    )
    if move.complete:
        click.echo(
            "Next, if the server still has its blobs in files: set blob_store_url to the object store and "
            "blob_store_old_url to the folder that it had (file:///...), restart it, and run this again without --to.\n"
            "If it has these settings already: remove blob_store_old_url, restart the server, run `naru fsck`; after "
            "that the folder is not needed any more.",
            err=True,
        )
    raise SystemExit(0 if move.complete else 1)


def _show(move: Move) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{move.done} of {move.total} blobs, {move.bytes >> 20} MiB copied", err=True, nl=False)
