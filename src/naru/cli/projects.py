"""``naru project``."""

from __future__ import annotations

import click

from naru.app import Core
from naru.cli.base import as_json_option, moment, run, table
from naru.services.accounts import ProjectChange, ProjectView
from naru.services.lists import ALL


class Limit(click.ParamType[int]):
    """A number, or ``default``: the installation's setting; which is -1 to the services."""

    name = "number|default"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "default":
            return -1
        if not (str(value).isascii() and str(value).isdecimal()):
            self.fail(f"{value!r} is neither a number nor 'default'", param, ctx)
        return int(str(value))


@click.group()
def project() -> None:
    """Projects (tenants): each has its registries, members, appkey and limits."""


def _row(view: ProjectView) -> dict[str, object]:
    facts, limits = view.facts, view.limits
    return {
        "name": facts.name,
        "appkey": facts.appkey,
        "host_label": facts.host_label,
        "region": facts.region,
        "default": view.project.is_default,
        "registries": view.project.registry_count,
        "limit_registries": limits.registries,
        "limit_images": limits.images,
        "limit_artifacts": limits.artifacts,
        "limit_tags": limits.tags,
        "created": moment(view.project.created_at),
    }


@project.command("create")
@click.argument("name")
@click.option("--host-label", metavar="LABEL", help="It answers on LABEL-REGION-registry.DOMAIN.")
@click.option("--region", help="Unset: the installation's.")
@click.option("--appkey", help="Unset: generated.")
@as_json_option
def project_create(name: str, host_label: str | None, region: str | None, appkey: str | None, as_json: bool) -> None:
    """Make a project and show it."""
    made = run(
        lambda core: core.projects.create(
            core.operator_account, name, host_label=host_label, region=region, appkey=appkey
        )
    )
    table([_row(made)], as_json)


@project.command("list")
@as_json_option
def project_list(as_json: bool) -> None:
    """List the projects."""
    found = run(lambda core: core.projects.list(core.operator_account, ALL)).items
    table([_row(one) for one in found], as_json)


@project.command("set")
@click.argument("name")
@click.option("--name", "new_name", metavar="NEW", help="Another name.")
@click.option("--host-label", metavar="LABEL", help="An empty one takes it away.")
@click.option("--region", help="Part of its host name.")
@click.option("--appkey", help="The old one stops working within seconds.")
@click.option("--limit-registries", type=Limit(), help="Registries of the project.")
@click.option("--limit-images", type=Limit(), help="Images of a registry.")
@click.option("--limit-artifacts", type=Limit(), help="Artifacts of an image.")
@click.option("--limit-tags", type=Limit(), help="Tags of an artifact.")
def project_set(
    name: str,
    new_name: str | None,
    host_label: str | None,
    region: str | None,
    appkey: str | None,
    **limits: int | None,
) -> None:
    """Change a project. A limit is a number, or 'default' for the installation's setting."""
    if all(value is None for value in (new_name, host_label, region, appkey, *limits.values())):
        raise click.UsageError("say what to change, see --help")
    chosen = {key.removeprefix("limit_"): value for key, value in limits.items() if value is not None}
    change = ProjectChange(name=new_name, host_label=host_label, region=region, appkey=appkey, limits=chosen)

    async def work(core: Core) -> None:
        found = await core.projects.by_name(core.operator_account, name)
        await core.projects.change(core.operator_account, found.facts.id, change)

    run(work)


@project.command("delete")
@click.argument("name")
def project_delete(name: str) -> None:
    """Delete a project without registries, with its memberships and audit log."""

    async def work(core: Core) -> None:
        found = await core.projects.by_name(core.operator_account, name)
        await core.projects.delete(core.operator_account, found.facts.id)

    run(work)
