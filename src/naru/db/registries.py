"""Registries of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from naru.core.paging import Listing, Page
from naru.core.permissions import RegistryFacts
from naru.db import protection
from naru.db.engine import inserted_id
from naru.db.paging import IDS_AT_ONCE, Order, Rows, having, in_order, page_of_ids
from naru.db.schema import (
    allowed_cves,
    registries,
    usage_deltas,
)
from naru.db.schema import common_cves as shared_cves
from naru.db.trash.registries import DELETED, hide_registry, remove_empty

#: What lists may be sorted by.
ORDERS = {
    "name": Order("name", textual=True),
    "creation_time": Order("created_at"),
    "update_time": Order("updated_at"),
}


@dataclass(frozen=True, slots=True)
class Registry:
    facts: RegistryFacts
    created_at: int
    updated_at: int
    image_count: int  # images that hold artifacts
    description: str
    auto_scan: bool
    prevent_vul: bool
    severity: str | None
    reuse_sys_cve_allowlist: bool
    content_trust_cosign: bool
    limit_storage: int | None  # bytes
    used_bytes: int


def add_registry(
    tx: Connection, project_id: int, name: str, *, kind: str, public_uri: bool, anonymous_pull: bool, now: int
) -> int:
    return inserted_id(
        tx.execute(
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
    )


def _all(project_id: int) -> Select[tuple[object, ...]]:
    deltas = select(func.coalesce(func.sum(usage_deltas.c.bytes), 0)).where(
        usage_deltas.c.registry_id == registries.c.id
    )
    c = registries.c
    return select(
        c.id,
        c.project_id,
        c.name,
        c.kind,
        c.public_uri,
        c.anonymous_pull,
        c.created_at,
        c.updated_at,
        c.image_count,
        c.description,
        c.auto_scan,
        c.prevent_vul,
        c.severity,
        c.reuse_sys_cve_allowlist,
        c.content_trust_cosign,
        c.limit_storage,
        c.used_bytes + deltas.scalar_subquery(),
    ).where(c.project_id == project_id, c.kind != DELETED)


def _registry(row: Sequence[object]) -> Registry:
    return Registry(RegistryFacts(*row[:6]), *row[6:])  # type: ignore[arg-type]


def find_registry(tx: Connection, project_id: int, name: str) -> Registry | None:
    row = tx.execute(_all(project_id).where(registries.c.name == name)).first()
    return None if row is None else _registry(row)


def registry_by_id(tx: Connection, project_id: int, registry_id: int) -> Registry | None:
    """The registry, if it is one of this project."""
    row = tx.execute(_all(project_id).where(registries.c.id == registry_id)).first()
    return None if row is None else _registry(row)


def registry_of(tx: Connection, registry_id: int) -> RegistryFacts | None:
    """The registry, of whichever project: for jobs, whose row says which one."""
    c = registries.c
    asked = select(c.id, c.project_id, c.name, c.kind, c.public_uri, c.anonymous_pull)
    row = tx.execute(asked.where(c.id == registry_id, c.kind != DELETED)).first()
    return None if row is None else RegistryFacts(*row)


def list_registries(tx: Connection, project_id: int, page: Listing) -> Page[Registry]:
    """A page of the project's registries."""
    where, values = f"project_id = ? AND kind <> '{DELETED}'", [project_id]
    asked = having(Rows("registries", where, values, ("registries", project_id)), "name", page.keyword)

    def read(some: Sequence[int]) -> dict[int, Registry]:
        found = map(_registry, tx.execute(_all(project_id).where(registries.c.id.in_(some))))
        return {one.facts.id: one for one in found}

    return in_order(page_of_ids(tx, asked, ORDERS[page.sort], page), read)


def count_registries(tx: Connection, project_id: int) -> int:
    mine = (registries.c.project_id == project_id, registries.c.kind != DELETED)
    return int(tx.execute(select(func.count()).select_from(registries).where(*mine)).scalar_one())


def change_registry(tx: Connection, registry_id: int, values: dict[str, object], now: int) -> None:
    """``values`` are columns that a caller may set."""
    tx.execute(update(registries).where(registries.c.id == registry_id).values(**values, updated_at=now))


def allowed(tx: Connection, registry_id: int) -> list[str]:
    asked = select(allowed_cves.c.cve_id).where(allowed_cves.c.registry_id == registry_id)
    return list(tx.execute(asked.order_by(allowed_cves.c.cve_id)).scalars())


def allowed_of(tx: Connection, registry_ids: Sequence[int]) -> dict[int, list[str]]:
    """The same of many registries."""
    found: dict[int, list[str]] = {one: [] for one in registry_ids}
    columns = (allowed_cves.c.registry_id, allowed_cves.c.cve_id)
    for start in range(0, len(registry_ids), IDS_AT_ONCE):
        asked = select(*columns).where(columns[0].in_(registry_ids[start : start + IDS_AT_ONCE])).order_by(*columns)
        for registry_id, cve in tx.execute(asked):
            found[registry_id].append(cve)
    return found


def set_allowed(tx: Connection, registry_id: int, cves: Sequence[str]) -> None:
    tx.execute(delete(allowed_cves).where(allowed_cves.c.registry_id == registry_id))
    rows = [{"registry_id": registry_id, "cve_id": cve} for cve in sorted(set(cves))]
    if rows:
        tx.execute(insert(allowed_cves), rows)


def common_cves(tx: Connection, project_id: int) -> list[str]:
    """What the registries of the project share."""
    asked = select(shared_cves.c.cve_id).where(shared_cves.c.project_id == project_id)
    return list(tx.execute(asked.order_by(shared_cves.c.cve_id)).scalars())


def set_common_cves(tx: Connection, project_id: int, cves: Sequence[str]) -> None:
    tx.execute(delete(shared_cves).where(shared_cves.c.project_id == project_id))
    rows = [{"project_id": project_id, "cve_id": cve} for cve in sorted(set(cves))]
    if rows:
        tx.execute(insert(shared_cves), rows)


def remove_registry(tx: Connection, registry_id: int) -> None:
    """Delete the registry and all in it, in the time of a few rows: see ``trash.registries``. ``ProtectedTag``."""
    protection.refuse_registry(tx, registry_id)
    hide_registry(tx, registry_id)
    remove_empty(tx)
