"""The command ``naru``. stdout is for data, stderr for everything else."""

from __future__ import annotations

import click

from naru import __version__
from naru.cli import backup, importing, keys, migrate_blobs, projects, registries, serve, store, users


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", metavar="FOLDER", help="Folder for everything that Naru keeps (NARU_DATA).")
@click.version_option(__version__, prog_name="naru")
@click.pass_context
def main(context: click.Context, data: str | None) -> None:
    """Naru: a container registry service in one program."""
    context.obj = {"data": data}


for _command in (
    serve.serve,
    serve.worker,
    serve.check_config,
    store.migrate,
    store.gc,
    store.fsck,
    store.adopt_key,
    migrate_blobs.migrate_blobs,
    store.version,
    importing.import_,
    backup.backup,
    backup.restore,
    projects.project,
    users.user,
    keys.key,
    registries.registry,
):
    main.add_command(_command)
