"""``naru user``."""

from __future__ import annotations

import click

from naru.app import Core
from naru.cli.base import as_json_option, ask_secret, moment, project_option, run, table
from naru.core.permissions import Role
from naru.services.accounts import AccountView, UserChange
from naru.services.lists import ALL

ROLE = click.Choice([role.value for role in Role])


@click.group()
def user() -> None:
    """Users and their roles in projects."""


@user.command("create")
@click.argument("name")
@click.option("--role", "roles", type=ROLE, multiple=True, help="A role in the project; several add up.")
@project_option
@click.option("--service-admin", is_flag=True, help="Administrator of the whole installation.")
@click.option("--password", is_flag=True, help="Ask for a password, or read it from a pipe.")
def user_create(name: str, roles: tuple[str, ...], project: str | None, service_admin: bool, password: bool) -> None:
    """Make a user."""
    chosen = ask_secret("Password") if password else None

    async def work(core: Core) -> None:
        grant = await core.operator(project)
        await core.users.create(core.operator_account, name, chosen, service_admin=service_admin)
        if roles:
            await core.members.add(grant, name, [Role(role) for role in roles])

    run(work)


@user.command("list")
@as_json_option
def user_list(as_json: bool) -> None:
    """List the users."""
    found = run(lambda core: core.users.list(core.operator_account, ALL)).items
    table([_row(one, as_json) for one in found], as_json)


def _row(view: AccountView, as_json: bool) -> dict[str, object]:
    roles: object = {project: list(held) for project, held in view.roles.items()}
    if not as_json:
        roles = [f"{project}: {'+'.join(held)}" for project, held in view.roles.items()]
    return {
        "name": view.user.name,
        "enabled": view.user.enabled,
        "service_admin": view.user.service_admin,
        "password": view.user.has_password,
        "keys": view.user.key_count,
        "roles": roles,
        "created": moment(view.user.created_at),
    }


@user.command("role")
@click.argument("name")
@click.option("--add", type=ROLE, multiple=True, help="Give it; several add up.")
@click.option("--remove", type=ROLE, multiple=True, help="Take it; without any the user is no member.")
@project_option
def user_role(name: str, add: tuple[str, ...], remove: tuple[str, ...], project: str | None) -> None:
    """Give roles in a project to a user, or take them."""
    if not (add or remove):
        raise click.UsageError("say which role to --add or to --remove")
    if twice := {*add} & {*remove}:
        raise click.UsageError(f"{', '.join(sorted(twice))}: either --add or --remove")

    async def work(core: Core) -> None:
        grant = await core.operator(project)
        member = await core.members.add(grant, name, [Role(role) for role in add])
        left = {Role(role) for role in member.roles} - {Role(role) for role in remove}
        if left:
            await core.members.set_roles(grant, member.user.id, left)
        elif member.roles:
            await core.members.remove(grant, member.user.id)

    run(work)


@user.command("password")
@click.argument("name")
def user_password(name: str) -> None:
    """Set a user's password: asked for, or read from a pipe."""
    _change(name, UserChange(password=ask_secret("Password")))


@user.command("service-admin")
@click.argument("name")
@click.option("--on/--off", "wanted", default=True, help="Give or take it; the last one keeps it.")
def user_service_admin(name: str, wanted: bool) -> None:
    """Make a user an administrator of the whole installation, or no more."""
    _change(name, UserChange(service_admin=wanted))


@user.command("disable")
@click.argument("name")
def user_disable(name: str) -> None:
    """Stop a user's keys and tokens within seconds."""
    _change(name, UserChange(enabled=False))


@user.command("enable")
@click.argument("name")
def user_enable(name: str) -> None:
    """Let a disabled user in again."""
    _change(name, UserChange(enabled=True))


@user.command("delete")
@click.argument("name")
def user_delete(name: str) -> None:
    """Delete a user with all keys."""

    async def work(core: Core) -> None:
        found = await core.users.by_name(core.operator_account, name)
        await core.users.delete(core.operator_account, found.id)

    run(work)


def _change(name: str, change: UserChange) -> None:
    async def work(core: Core) -> None:
        found = await core.users.by_name(core.operator_account, name)
        await core.users.change(core.operator_account, found.id, change)

    run(work)
