"""``naru registry``."""

from __future__ import annotations

import click

from naru.app import Core
from naru.cli.base import Progress, as_json_option, moment, project_option, run, table
from naru.services.lists import ALL
from naru.services.registries import RegistryChange, RegistryView


class Quota(click.ParamType[int]):
    """Bytes, with K, M, G or T for powers of 1024; or ``none``, which is -1 here."""

    name = "bytes|none"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if text == "none":
            return -1
        power = "KMGT".find(text[-1:].upper()) + 1 if text[-1:].isalpha() else 0
        digits = text[:-1] if power else text
        if not (digits.isascii() and digits.isdigit()):
            self.fail(f"{text!r} is neither a number of bytes, such as 500G, nor 'none'", param, ctx)
        return int(digits) * int(1024**power)


@click.group()
def registry() -> None:
    """Registries: create, list, change, delete."""


@registry.command("create")
@click.argument("name")
@click.option("--anonymous-pull", is_flag=True, help="Anybody may pull, without signing in.")
@click.option("--private-only", is_flag=True, help="Switch the Public URI off: only the private listener answers.")
@project_option
def registry_create(name: str, anonymous_pull: bool, private_only: bool, project: str | None) -> None:
    """Make a registry. Images are then pushed to {host}/NAME/{image}:{tag}."""
    change = RegistryChange.of(public_uri=not private_only, anonymous_pull=anonymous_pull)

    async def work(core: Core) -> None:
        await core.registries.create(await core.operator(project), name, change)

    run(work)
    click.echo(f"registry '{name}' was made", err=True)


@registry.command("list")
@project_option
@as_json_option
def registry_list(project: str | None, as_json: bool) -> None:
    """List the registries."""

    async def work(core: Core) -> list[RegistryView]:
        return [*(await core.registries.list(await core.operator(project), ALL)).items]

    found = run(work)
    table(
        [
            {
                "name": one.facts.name,
                "images": one.image_count,
                "bytes": one.used_bytes,
                "quota": one.registry.limit_storage,
                "public_uri": one.facts.public_uri,
                "anonymous_pull": one.facts.anonymous_pull,
                "created": moment(one.created_at),
            }
            for one in found
        ],
        as_json,
    )


@registry.command("set")
@click.argument("name")
@click.option("--public-uri/--no-public-uri", default=None, help="Whether the public listener answers.")
@click.option("--anonymous-pull/--no-anonymous-pull", default=None, help="Whether anybody may pull.")
@click.option("--quota", type=Quota(), help="Bytes that it may use, or 'none'.")
@project_option
def registry_set(
    name: str, public_uri: bool | None, anonymous_pull: bool | None, quota: int | None, project: str | None
) -> None:
    """Change a registry."""
    if public_uri is anonymous_pull is quota is None:
        raise click.UsageError("say what to change, see --help")
    change = RegistryChange.of(public_uri=public_uri, anonymous_pull=anonymous_pull)

    async def work(core: Core) -> None:
        operator = await core.operator(project)
        facts = await core.registries.by_name(operator, name)
        if change.values:
            await core.registries.change(operator, facts.id, change)
        if quota is not None:
            await core.usage.set_quota(operator, facts.id, None if quota < 0 else quota)

    run(work)


@registry.command("delete")
@click.argument("name")
@click.option("--with-images", is_flag=True, help="Although it holds images.")
@project_option
def registry_delete(name: str, with_images: bool, project: str | None) -> None:
    """Delete a registry."""

    async def work(core: Core) -> None:
        operator = await core.operator(project)
        facts = await core.registries.by_name(operator, name)
        images = (await core.registries.view(operator, facts.id)).image_count
        await core.registries.delete(operator, facts.id, with_images=with_images)
        click.echo(f"registry '{name}' is deleted; what it held is being removed", err=True)
        await core.trash.expire(lambda removed: shown("images", min(removed, images), images) if images else None)

    shown = Progress()
    run(work)
    shown.close()
