"""``naru user`` and ``naru key``."""

from __future__ import annotations

import click

from naru.cli.base import moment, run, table
from naru.core.permissions import Role
from naru.services.accounts import NewKey

ROLE = click.Choice([role.value for role in Role])


@click.group()
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
    run(lambda core: core.accounts.create_user(name, chosen, wanted, service_admin=service_admin))


@user.command("list")
@click.option("--json", "as_json", is_flag=True)
def user_list(as_json: bool) -> None:
    """List the users."""
    found = run(lambda core: core.accounts.users())
    table(
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
    run(lambda core: core.accounts.set_roles(name, add=added, remove=removed))


@user.command("disable")
@click.argument("name")
def user_disable(name: str) -> None:
    """Stop a user's keys and tokens within seconds."""
    run(lambda core: core.accounts.enable_user(name, enabled=False))


@user.command("enable")
@click.argument("name")
def user_enable(name: str) -> None:
    """Let a disabled user in again."""
    run(lambda core: core.accounts.enable_user(name, enabled=True))


@user.command("delete")
@click.argument("name")
def user_delete(name: str) -> None:
    """Delete a user with all keys."""
    run(lambda core: core.accounts.delete_user(name))


@click.group()
def key() -> None:
    """Access keys: what signs in by `docker login`."""


def _show_key(new: NewKey, as_json: bool) -> None:
    table([{"access_key_id": new.access_key, "secret_access_key": new.secret}], as_json)
    click.echo("the secret is shown this once", err=True)


@key.command("create")
@click.argument("user_name", metavar="USER")
@click.option("--label", default="", help="What the key is for.")
@click.option("--json", "as_json", is_flag=True)
def key_create(user_name: str, label: str, as_json: bool) -> None:
    """Make an access key for a user, who has five at most."""
    _show_key(run(lambda core: core.accounts.create_key(user_name, label)), as_json)


@key.command("list")
@click.option("--json", "as_json", is_flag=True)
def key_list(as_json: bool) -> None:
    """List access keys with their last use."""
    found = run(lambda core: core.accounts.keys())
    table(
        [
            {
                "access_key_id": one.access_key,
                "user": one.user_name,
                "label": one.label or "-",
                "enabled": one.enabled,
                "created": moment(one.created_at),
                "last_used": moment(one.last_used_at),
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
    _show_key(run(lambda core: core.accounts.regenerate_key(access_key_id)), as_json)


@key.command("disable")
@click.argument("access_key_id")
def key_disable(access_key_id: str) -> None:
    """Stop a key, and its tokens, within seconds."""
    run(lambda core: core.accounts.enable_key(access_key_id, enabled=False))


@key.command("enable")
@click.argument("access_key_id")
def key_enable(access_key_id: str) -> None:
    """Let a disabled key work again."""
    run(lambda core: core.accounts.enable_key(access_key_id, enabled=True))


@key.command("delete")
@click.argument("access_key_id")
def key_delete(access_key_id: str) -> None:
    """Delete a key."""
    run(lambda core: core.accounts.delete_key(access_key_id))
