"""``naru registry``."""

from __future__ import annotations

import click

from naru.cli.base import moment, run, table


@click.group()
def registry() -> None:
    """Registries: create, list, change, delete."""


@registry.command("create")
@click.argument("name")
@click.option("--anonymous-pull", is_flag=True, help="Anybody may pull, without signing in.")
@click.option("--private-only", is_flag=True, help="Switch the Public URI off: only the private listener answers.")
def registry_create(name: str, anonymous_pull: bool, private_only: bool) -> None:
    """Make a registry. Images are then pushed to {host}/NAME/{image}:{tag}."""
    run(lambda core: core.registries.create(name, public_uri=not private_only, anonymous_pull=anonymous_pull))
    click.echo(f"registry '{name}' was made", err=True)


@registry.command("list")
@click.option("--json", "as_json", is_flag=True)
def registry_list(as_json: bool) -> None:
    """List the registries."""
    found = run(lambda core: core.registries.all())
    table(
        [
            {
                "name": one.facts.name,
                "images": one.image_count,
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
def registry_set(name: str, public_uri: bool | None, anonymous_pull: bool | None) -> None:
    """Change a registry."""
    run(lambda core: core.registries.change(name, public_uri=public_uri, anonymous_pull=anonymous_pull))


@registry.command("delete")
@click.argument("name")
@click.option("--with-images", is_flag=True, help="Although it holds images.")
def registry_delete(name: str, with_images: bool) -> None:
    """Delete a registry."""
    run(lambda core: core.registries.delete(name, with_images=with_images))
