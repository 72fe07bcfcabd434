"""The command ``naru``. stdout is for data, stderr for everything else."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from naru import __version__
from naru import log as logs
from naru.app import Core, build_core
from naru.core.errors import NaruError
from naru.core.permissions import Role
from naru.services.accounts import BootstrapResult, NewKey
from naru.settings import Finding, Settings, SettingsError, check, load

T = TypeVar("T")

ROLE = click.Choice([role.value for role in Role])


def _settings() -> Settings:
    flags = click.get_current_context().find_root().obj or {}
    try:
        return load(**flags)
    except SettingsError as error:
        _show(list(error.findings))
        raise SystemExit(2) from None


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        name = f"{finding.setting}: " if finding.setting else ""
        click.echo(f"{finding.level}: {name}{finding.message}", err=True)


def _run(work: Callable[[Core], Awaitable[T]]) -> T:
    """Run an operator's command on the installation that the settings name."""
    settings = _settings()

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


def _time(microseconds: int | None) -> str:
    if microseconds is None:
        return "-"
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(rows: list[dict[str, Any]], as_json: bool) -> None:
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(value) or "-"
    return str(value)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", metavar="FOLDER", help="Folder for everything that Naru keeps (NARU_DATA).")
@click.version_option(__version__, prog_name="naru")
@click.pass_context
def main(context: click.Context, data: str | None) -> None:
    """Naru: a container registry service in one program."""
    context.obj = {"data": data}


@main.command()
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
    settings = _settings()
    findings = check(settings)
    _show(findings)
    if any(finding.level == "error" for finding in findings):
        raise SystemExit(2)
    logs.configure(settings)
    import uvloop  # noqa: PLC0415 - only the server pays for it

    from naru.server import serve as run  # noqa: PLC0415

    try:
        uvloop.run(run(settings, lambda made: _announce(settings, made)))
    except NaruError as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(str(error.strerror or error)) from None


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
        click.echo(
            f"\nNext: naru registry create demo, then docker login {address.partition('://')[2] or address}\n", err=True
        )


@main.command("check-config")
def check_config() -> None:
    """Say whether the settings are right and safe here. Exit status 2 when the server would not start."""
    findings = check(_settings())
    _show(findings)
    if any(finding.level == "error" for finding in findings):
        raise SystemExit(2)
    click.echo("the settings are good")


@main.command()
def migrate() -> None:
    """Bring the database to the schema of this version (`serve` does it too)."""
    _run(_nothing)
    click.echo("the database has the schema of this version", err=True)


async def _nothing(_core: Core) -> None:
    return


@main.command()
@click.option("--now", is_flag=True, help="Also what the grace period protects. Only while no client pushes.")
def gc(now: bool) -> None:
    """Collect garbage that is due; `serve` does it by itself all the time."""

    async def work(core: Core) -> None:
        ahead = core.settings.collection_grace_seconds + 1 if now else 0
        report = await core.collector.run(
            ahead_seconds=ahead,
            progress=lambda so_far: (
                click.echo(f"\rlooked at {so_far.reviewed} links", err=True, nl=False) if sys.stderr.isatty() else None
            ),
        )
        click.echo(
            f"removed {report.blobs} blobs ({report.bytes} bytes), {report.files} files, "
            f"{report.uploads} abandoned uploads"
        )

    _run(work)


# Registries.


@main.group()
def registry() -> None:
    """Registries: create, list, change, delete."""


@registry.command("create")
@click.argument("name")
@click.option("--anonymous-pull", is_flag=True, help="Anybody may pull, without signing in.")
@click.option("--private-only", is_flag=True, help="Switch the Public URI off: only the private listener answers.")
def registry_create(name: str, anonymous_pull: bool, private_only: bool) -> None:
    """Make a registry. Images are then pushed to {host}/NAME/{image}:{tag}."""
    _run(lambda core: core.registries.create(name, public_uri=not private_only, anonymous_pull=anonymous_pull))
    click.echo(f"registry '{name}' was made", err=True)


@registry.command("list")
@click.option("--json", "as_json", is_flag=True)
def registry_list(as_json: bool) -> None:
    """List the registries."""
    found = _run(lambda core: core.registries.all())
    _table(
        [
            {
                "name": one.facts.name,
                "images": one.image_count,
                "public_uri": one.facts.public_uri,
                "anonymous_pull": one.facts.anonymous_pull,
                "created": _time(one.created_at),
            }
            for one in found
        ],
        as_json,
    )


@registry.command("set")
@click.argument("name")
@click.option("--public-uri/--no-public-uri", default=None, help="Whether the public listener answers.")
@click.option("--anonymous-pull/--no-anonymous-pull", default=None, help="Whether anybody may pull.")
def registry_set(name: str, public_uri: bool | None, anonymous_pull: bool | None) -> None:
    """Change a registry."""
    _run(lambda core: core.registries.change(name, public_uri=public_uri, anonymous_pull=anonymous_pull))


@registry.command("delete")
@click.argument("name")
@click.option("--with-images", is_flag=True, help="Although it holds images.")
def registry_delete(name: str, with_images: bool) -> None:
    """Delete a registry."""
    _run(lambda core: core.registries.delete(name, with_images=with_images))


# Users.


@main.group()
def user() -> None:
    """Users and their roles in the default project."""


@user.command("create")
@click.argument("name")
@click.option("--role", "roles", type=ROLE, multiple=True, help="A role in the project; several add up.")
@click.option("--service-admin", is_flag=True, help="Administrator of the whole installation.")
@click.option("--password", is_flag=True, help="Ask for a password.")
def user_create(name: str, roles: tuple[str, ...], service_admin: bool, password: bool) -> None:
    """Make a user."""
    chosen = click.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None
    wanted = [Role(role) for role in roles]
    _run(lambda core: core.accounts.create_user(name, chosen, wanted, service_admin=service_admin))


@user.command("list")
@click.option("--json", "as_json", is_flag=True)
def user_list(as_json: bool) -> None:
    """List the users."""
    found = _run(lambda core: core.accounts.users())
    _table(
        [
            {"name": one.name, "enabled": one.enabled, "service_admin": one.service_admin, "roles": sorted(one.roles)}
            for one in found
        ],
        as_json,
    )


@user.command("role")
@click.argument("name")
@click.option("--add", type=ROLE, multiple=True)
@click.option("--remove", type=ROLE, multiple=True)
def user_role(name: str, add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Give roles to a user, or take them."""
    added, removed = [Role(role) for role in add], [Role(role) for role in remove]
    _run(lambda core: core.accounts.set_roles(name, add=added, remove=removed))


@user.command("disable")
@click.argument("name")
def user_disable(name: str) -> None:
    """Stop a user's keys and tokens within seconds."""
    _run(lambda core: core.accounts.enable_user(name, enabled=False))


@user.command("enable")
@click.argument("name")
def user_enable(name: str) -> None:
    """Let a disabled user in again."""
    _run(lambda core: core.accounts.enable_user(name, enabled=True))


@user.command("delete")
@click.argument("name")
def user_delete(name: str) -> None:
    """Delete a user with all keys."""
    _run(lambda core: core.accounts.delete_user(name))


# Access keys.


@main.group()
def key() -> None:
    """Access keys: what signs in by `docker login`."""


def _show_key(new: NewKey, as_json: bool) -> None:
    _table([{"access_key_id": new.access_key, "secret_access_key": new.secret}], as_json)
    click.echo("the secret is shown this once", err=True)


@key.command("create")
@click.argument("user_name", metavar="USER")
@click.option("--label", default="", help="What the key is for.")
@click.option("--json", "as_json", is_flag=True)
def key_create(user_name: str, label: str, as_json: bool) -> None:
    """Make an access key for a user, who has five at most."""
    _show_key(_run(lambda core: core.accounts.create_key(user_name, label)), as_json)


@key.command("list")
@click.option("--json", "as_json", is_flag=True)
def key_list(as_json: bool) -> None:
    """List access keys with their last use."""
    found = _run(lambda core: core.accounts.keys())
    _table(
        [
            {
                "access_key_id": one.access_key,
                "user": one.user_name,
                "label": one.label or "-",
                "enabled": one.enabled,
                "created": _time(one.created_at),
                "last_used": _time(one.last_used_at),
                "last_address": one.last_used_address or "-",
            }
            for one in found
        ],
        as_json,
    )


@key.command("regenerate")
@click.argument("access_key_id")
@click.option("--json", "as_json", is_flag=True)
def key_regenerate(access_key_id: str, as_json: bool) -> None:
    """A new secret for a key; the old one stops working within seconds."""
    _show_key(_run(lambda core: core.accounts.regenerate_key(access_key_id)), as_json)


@key.command("disable")
@click.argument("access_key_id")
def key_disable(access_key_id: str) -> None:
    """Stop a key, and its tokens, within seconds."""
    _run(lambda core: core.accounts.enable_key(access_key_id, enabled=False))


@key.command("enable")
@click.argument("access_key_id")
def key_enable(access_key_id: str) -> None:
    """Let a disabled key work again."""
    _run(lambda core: core.accounts.enable_key(access_key_id, enabled=True))


@key.command("delete")
@click.argument("access_key_id")
def key_delete(access_key_id: str) -> None:
    """Delete a key."""
    _run(lambda core: core.accounts.delete_key(access_key_id))
