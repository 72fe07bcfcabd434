"""``naru backup`` and ``naru restore``."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from naru.app import Core, database_at
from naru.cli.base import Progress, as_json_option, moment, read_settings, run, table
from naru.core.errors import Conflict, NaruError
from naru.services.backup import Backup, BackupFolder, Restore, Snapshot
from naru.settings import Settings

_folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.command()
@_folder
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="Remove all snapshots but the N newest, after it."
)
@click.option("--without-key", is_flag=True, help="Leave secret.key out: it is kept elsewhere.")
@click.option("--list", "only_list", is_flag=True, help="Take none; list those that are there.")
@click.option("--verify", is_flag=True, help="Take none; read every byte of the newest, and compare it.")
@click.option("--snapshot", metavar="NAME", help="For --verify: this one.")
@as_json_option
def backup(
    folder: Path,
    keep: int | None,
    without_key: bool,
    only_list: bool,
    verify: bool,
    snapshot: str | None,
    as_json: bool,
) -> None:
    """Add a snapshot of everything to FOLDER, while the server goes on serving.

    The folder keeps each blob once, so that the second backup copies only what is new.
    """
    kept = BackupFolder(folder)
    if only_list:
        _show([kept.snapshot(name) for name in kept.snapshots()], as_json)
        return
    if verify:
        _verify(kept, snapshot)
        return
    if snapshot is not None:
        raise click.UsageError("--snapshot goes with --verify; a new snapshot gets its name from the time")
    shown = Progress()

    async def work(core: Core) -> None:
        await core.accounts.default_project()  # a database that was made just now is nothing to back up
        key = None if without_key else await core.key()
        taking = Backup(database=core.database, blobs=core.blobs, clock=core.clock, key=key)
        taken = await taking.take(kept, shown)
        shown.close()
        _show([taken.snapshot], as_json)
        click.echo(f"copied {taken.copied} new blobs ({taken.copied_bytes} bytes) to {folder}", err=True)
        if keep is not None:
            old = kept.snapshots()[:-keep]
            kept.forget(old)
            blobs, size = kept.sweep()
            click.echo(f"removed {len(old)} older snapshots, {blobs} blobs ({size} bytes)", err=True)
        if taken.broken:
            raise click.ClickException(
                "the backup is whole but for blobs that the store itself has lost; see `naru fsck`:\n"
                + "\n".join(taken.broken[:100])
            )

    run(work)


def _show(snapshots: list[Snapshot], as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for each in snapshots:
        facts = asdict(each) | {"taken_at": moment(each.taken_at)}
        rows.append({name: facts[name] for name in ("id", "taken_at", "naru", "schema", "blobs", "bytes", "with_key")})
    table(rows, as_json)


def _verify(folder: BackupFolder, name: str | None) -> None:
    """Exit status 1 when anything is not as it was written."""
    shown = Progress()
    problems: list[str] = []
    try:
        snapshot = folder.snapshot(name)
        for each in snapshot.tables:
            for _row in folder.rows(snapshot, each):
                pass
        for number, blob in enumerate(folder.blobs_of(snapshot), 1):
            shown("blobs", number, snapshot.blobs)
            try:
                for _piece in folder.read(blob):
                    pass
            except NaruError as error:
                problems.append(error.message)
    except (NaruError, OSError) as error:
        problems.append(str(error))
    shown.close()
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)
    click.echo(f"snapshot {snapshot.id} is whole: {snapshot.blobs} blobs, {snapshot.bytes} bytes")


@click.command()
@_folder
@click.option("--snapshot", metavar="NAME", help="Unset: the newest.")
def restore(folder: Path, snapshot: str | None) -> None:
    """Make this installation, which must be new, of a snapshot in FOLDER.

    The database and the store are those that the settings name, of whichever kind: this is also the way from SQLite to
    PostgreSQL. Called again after it was cut off, it goes on.
    """
    settings = read_settings()
    kept = BackupFolder(folder)
    shown = Progress()
    try:
        chosen = kept.snapshot(snapshot)
        _place_key(settings, kept.key(chosen))
        asyncio.run(_load(settings, kept, chosen, shown))
    except NaruError as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")) from None

    async def work(core: Core) -> None:
        restored = await Restore(core.database, kept, chosen).copy(core.area, core.blobs, shown)
        shown.close()
        click.echo(
            f"restored snapshot {chosen.id}: {restored.copied} blobs ({restored.copied_bytes} bytes) copied, "
            f"{restored.there} were there; check it with `naru fsck`"
        )
        if restored.broken:
            raise click.ClickException(
                f"{restored.broken} blobs are missing or wrong in the backup: they are marked as damaged, and a push "
                "of their images heals them; `naru fsck` names them"
            )

    run(work)


async def _load(settings: Settings, folder: BackupFolder, snapshot: Snapshot, shown: Progress) -> None:
    """The rows, at the schema that they were written with; opening the database next brings it to this version's."""
    database = database_at(settings, snapshot.schema)
    await database.start()
    try:
        await Restore(database, folder, snapshot).load(shown)
    finally:
        await database.aclose()
    shown.close()


def _place_key(settings: Settings, key: bytes | None) -> None:
    """The installation's key to where it belongs; ``Conflict`` when there is another one."""
    path = settings.key_file
    if path.exists():
        if key is not None and path.read_bytes() != key:
            raise Conflict(
                f"{path} is not the key of this backup. In a new installation, remove that file; what is encrypted in "
                "the backup can be read with its own key only"
            )
    elif key is None:
        click.echo(
            f"warning: the backup was made without secret.key, and {path} is not there: secrets of webhooks have to be "
            "entered again, unless you put the key there before the first start",
            err=True,
        )
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
