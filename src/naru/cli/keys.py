"""``naru key``."""

from __future__ import annotations

import click

from naru.app import Core
from naru.cli.base import as_json_option, moment, run, table
from naru.services.accounts import KeyChange, KeyView, NewKey
from naru.services.accounts.keys import DAY

#: A century.
MAX_DAYS = 36_500


@click.group()
def key() -> None:
    """Access keys: what signs in by `docker login` and to the API."""


def _show_key(new: NewKey, as_json: bool) -> None:
    table([{"access_key_id": new.access_key, "secret_access_key": new.secret}], as_json)
    click.echo("the secret is shown this once", err=True)


@key.command("create")
@click.argument("user_name", metavar="USER")
@click.option("--label", default="", help="What the key is for.")
@click.option("--expires", type=click.IntRange(1, MAX_DAYS), metavar="DAYS", help="Unset: never.")
@as_json_option
def key_create(user_name: str, label: str, expires: int | None, as_json: bool) -> None:
    """Make an access key for a user, who has five at most."""

    async def work(core: Core) -> NewKey:
        found = await core.users.by_name(core.operator_account, user_name)
        until = None if expires is None else core.clock.now() + expires * DAY
        return await core.keys.create(core.operator_account, label, until, user_id=found.id)

    _show_key(run(work), as_json)


@key.command("list")
@click.option("--user", "user_name", metavar="USER", help="Only this user's.")
@as_json_option
def key_list(user_name: str | None, as_json: bool) -> None:
    """List access keys with their age and last use."""

    async def work(core: Core) -> list[KeyView]:
        if user_name is None:
            return await core.keys.all(core.operator_account)
        found = await core.users.by_name(core.operator_account, user_name)
        return await core.keys.of_user(core.operator_account, found.id)

    found = run(work)
    table(
        [
            {
                "access_key_id": one.key.access_key,
                "user": one.key.user_name,
                "label": one.key.label,
                "enabled": one.key.enabled,
                "created": moment(one.key.created_at),
                "expires": moment(one.key.expires_at),
                "age_days": one.age_days,
                "rotate": one.rotate,
                "last_used": moment(one.key.last_used_at),
                "last_address": one.key.last_used_address,
            }
            for one in found
        ],
        as_json,
    )


class Days(click.ParamType[int]):
    """Days from now; or ``never``, which is 0 here."""

    name = "days|never"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if text == "never":
            return 0
        if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MAX_DAYS):
            self.fail(f"{text!r} is neither a number of days from 1 to {MAX_DAYS} nor 'never'", param, ctx)
        return int(text)


@key.command("set")
@click.argument("access_key_id")
@click.option("--label", help="What the key is for.")
@click.option("--expires", type=Days(), metavar="DAYS", help="From now, or 'never'.")
def key_set(access_key_id: str, label: str | None, expires: int | None) -> None:
    """Change what a key is called, or when it stops working."""
    if label is None and expires is None:
        raise click.UsageError("say what to change, see --help")

    async def work(core: Core) -> None:
        until = core.clock.now() + expires * DAY if expires else expires
        await core.keys.change(core.operator_account, access_key_id, KeyChange(label=label, expires_at=until))

    run(work)


@key.command("regenerate")
@click.argument("access_key_id")
@as_json_option
def key_regenerate(access_key_id: str, as_json: bool) -> None:
    """A new secret for a key; the old one stops working within seconds."""
    _show_key(run(lambda core: core.keys.regenerate(core.operator_account, access_key_id)), as_json)


@key.command("disable")
@click.argument("access_key_id")
def key_disable(access_key_id: str) -> None:
    """Stop a key, and its tokens, within seconds."""
    run(lambda core: core.keys.change(core.operator_account, access_key_id, KeyChange(enabled=False)))


@key.command("enable")
@click.argument("access_key_id")
def key_enable(access_key_id: str) -> None:
    """Let a disabled key work again."""
    run(lambda core: core.keys.change(core.operator_account, access_key_id, KeyChange(enabled=True)))


@key.command("delete")
@click.argument("access_key_id")
def key_delete(access_key_id: str) -> None:
    """Delete a key."""
    run(lambda core: core.keys.delete(core.operator_account, access_key_id))
