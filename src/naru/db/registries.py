"""Registries of a project."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from naru.core.permissions import RegistryFacts
from naru.db.engine import inserted_id
from naru.db.schema import artifact_blobs, artifacts, blob_links, images, link_reviews, registries, tags


@dataclass(frozen=True, slots=True)
class Registry:
    facts: RegistryFacts
    created_at: int
    image_count: int  # images that hold artifacts


def add_registry(
    tx: Connection, project_id: int, name: str, *, kind: str, public_uri: bool, anonymous_pull: bool, now: int
) -> int:
    made = tx.execute(
        insert(registries).values(
            project_id=project_id,
            name=name,
            kind=kind,
            public_uri=public_uri,
            anonymous_pull=anonymous_pull,
            created_at=now,
            updated_at=now,
        )
    )
    return inserted_id(made)


def find_registry(tx: Connection, project_id: int, name: str) -> Registry | None:
    return next(iter(_registries(tx, project_id, name)), None)


def list_registries(tx: Connection, project_id: int) -> list[Registry]:
    return _registries(tx, project_id, None)


def _registries(tx: Connection, project_id: int, name: str | None) -> list[Registry]:
    count = (
        select(func.count())
        .where(images.c.registry_id == registries.c.id, images.c.artifact_count > 0)
        .scalar_subquery()
    )
    c = registries.c
    asked = select(c.id, c.project_id, c.name, c.kind, c.public_uri, c.anonymous_pull, c.created_at, count).where(
        c.project_id == project_id
    )
    asked = asked.order_by(c.name) if name is None else asked.where(c.name == name)
    return [
        Registry(RegistryFacts(*row[:4], bool(row[4]), bool(row[5])), int(row[6]), int(row[7]))
        for row in tx.execute(asked)
    ]


def change_registry(
    tx: Connection, registry_id: int, *, public_uri: bool | None, anonymous_pull: bool | None, now: int
) -> None:
    values: dict[str, bool | int] = {"updated_at": now}
    if public_uri is not None:
        values["public_uri"] = public_uri
    if anonymous_pull is not None:
        values["anonymous_pull"] = anonymous_pull
    tx.execute(update(registries).where(registries.c.id == registry_id).values(**values))


def remove_registry(tx: Connection, registry_id: int) -> None:
    """Delete the registry and all in it. Call ``blobs.review_blobs_of_registry`` before."""
    held = select(images.c.id).where(images.c.registry_id == registry_id).scalar_subquery()
    for table in (artifact_blobs, tags, artifacts, link_reviews, blob_links):
        tx.execute(delete(table).where(table.c.image_id.in_(held)))
    tx.execute(delete(registries).where(registries.c.id == registry_id))
