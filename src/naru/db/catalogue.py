"""Lists of the catalogue: images of a registry, artifacts of an image, tags of an artifact, moves of a tag.

How a page is found, by number or by cursor: ``db.paging``. Each order of images and artifacts has an index; those of an
artifact's tags but the names' look at all of them, which the limit of tags keeps few. Totals without a keyword are kept
numbers.

A keyword among artifacts is the beginning of a digest (found by the index) or a part of a tag, which looks at the names
of the image's tags on their index, once a page, and stops at ``MOST_FOUND``: where so many fit, the total says so many,
and the page is found by walking the list in its order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from naru.core.digest import ALGORITHMS
from naru.core.paging import Listing, Page
from naru.db.engine import execute, is_postgres
from naru.db.paging import BY_ID, Order, Rows, contains, count, having, in_order, marks, page_of_ids, pattern


@dataclass(frozen=True, slots=True)
class ImageRow:
    id: int
    name: str  # without the registry
    created_at: int
    updated_at: int
    artifact_count: int  # those that lists show
    tag_count: int
    pull_count: int
    pulled_at: int | None


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    id: int
    digest: str
    manifest_media_type: str
    artifact_type: str | None
    annotations: str | None  # a JSON object
    size: int  # bytes of the manifest and what it names
    pushed_at: int
    pull_count: int
    pulled_at: int | None
    accessory_of: str | None
    accessory_type: str | None
    extra_attrs: str | None  # a JSON object; None: nobody looked yet
    config_type: str | None  # empty: it has no config
    children: str | None  # a JSON list


@dataclass(frozen=True, slots=True)
class TagRow:
    id: int
    artifact_id: int
    name: str
    pushed_at: int
    pulled_at: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """A tag was made (no ``from_digest``), moved, or deleted (no ``to_digest``)."""

    id: int
    tag: str
    from_digest: str | None
    to_digest: str | None
    actor: str
    at: int


@dataclass(frozen=True, slots=True)
class UsedBlob:
    """A blob as one artifact uses it. ``elsewhere``: artifacts of the registry that use it beside this one."""

    digest: str
    size: int
    elsewhere: int
    in_image: bool  # another artifact of the same image uses it


_PULLED = Order("coalesce(pulled_at, 0)")
_NAME = Order("name", textual=True)
IMAGE_ORDERS = {
    "name": _NAME,
    "creation_time": Order("created_at"),
    "update_time": Order("updated_at"),
    "pull_time": _PULLED,
    "pull_count": Order("pull_count"),
    "artifact_count": Order("listed_count"),
}
ARTIFACT_ORDERS = {
    "push_time": Order("pushed_at"),
    "pull_time": _PULLED,
    "pull_count": Order("pull_count"),
    "size": Order("size + manifest_size"),
    "digest": Order("digest", textual=True),
}
TAG_ORDERS = {"name": _NAME, "push_time": Order("pushed_at"), "pull_time": _PULLED}
MOVE_ORDERS = {"time": BY_ID}

#: Artifacts that a keyword finds, at most.
MOST_FOUND = 2000

_IMAGE = "id, name, created_at, updated_at, listed_count, tag_count, pull_count, pulled_at"
_SHOWN = "registry_id = ? AND artifact_count > 0"
_TAG = "id, artifact_id, name, pushed_at, pulled_at"
_ARTIFACT = """
    SELECT a.id, a.digest, a.media_type, a.artifact_type, a.annotations, a.size + a.manifest_size, a.pushed_at,
        a.pull_count, a.pulled_at, a.accessory_of, a.accessory_type, d.extra_attrs, d.config_type, d.children
    FROM artifacts a LEFT JOIN artifact_details d ON d.artifact_id = a.id
"""
REGISTRY = """
    SELECT id, project_id, name, kind, public_uri, anonymous_pull, image_count FROM registries
    WHERE project_id = ? AND name = ? AND kind <> 'deleted'
"""
IMAGE = f"SELECT {_IMAGE} FROM images WHERE {_SHOWN} AND name = ?"
ARTIFACT = f"{_ARTIFACT} WHERE a.image_id = ? AND a.digest = ?"
TAGGED = f"{_ARTIFACT} WHERE a.id = (SELECT artifact_id FROM tags WHERE image_id = ? AND name = ?)"
TAGS_OF = f"SELECT {_TAG} FROM tags WHERE artifact_id = ? ORDER BY name LIMIT ?"
ACCESSORIES = f"{_ARTIFACT} WHERE a.image_id = ? AND a.accessory_of = ? ORDER BY a.id LIMIT ?"
TAGGED_LIKE = f"SELECT DISTINCT artifact_id FROM tags WHERE image_id = ? AND {contains('name')} LIMIT ?"
TAGGED_PLAIN = "SELECT DISTINCT artifact_id FROM tags WHERE image_id = ? AND name LIKE ? LIMIT ?"
TAGGED_FROM = "SELECT DISTINCT artifact_id FROM tags WHERE image_id = ? AND name >= ? AND name < ? LIMIT ?"
#: What a tag may have a part of.
TAG_PART = re.compile("[A-Za-z0-9._-]{1,128}").fullmatch
DIGESTS = "SELECT id FROM artifacts WHERE image_id = ? AND digest >= ? AND digest < ? LIMIT ?"
IS_SIGNED = """
    SELECT EXISTS (SELECT 1 FROM artifacts
        WHERE image_id = ? AND accessory_of = ? AND accessory_type LIKE 'signature.%')
"""
CHILD = "SELECT id FROM artifacts WHERE image_id = ? AND digest = ?"
MANIFEST = "SELECT content FROM manifests WHERE artifact_id = ?"
USED_BLOBS = """
    SELECT b.digest, b.size, rb.artifacts - 1, EXISTS (SELECT 1 FROM artifact_blobs o
        WHERE o.image_id = ab.image_id AND o.blob_id = ab.blob_id AND o.artifact_id <> ab.artifact_id)
    FROM artifact_blobs ab JOIN blobs b ON b.id = ab.blob_id
    JOIN registry_blobs rb ON rb.registry_id = ? AND rb.blob_id = ab.blob_id
    WHERE ab.artifact_id = ?
"""
CONFIG = """
    SELECT b.storage_key FROM artifact_blobs ab JOIN blobs b ON b.id = ab.blob_id
    WHERE ab.artifact_id = ? AND b.digest = ? AND NOT b.damaged
"""
KEEP_DETAILS = """
    INSERT INTO artifact_details (artifact_id, extra_attrs, config_type, children)
    SELECT id, ?, ?, ? FROM artifacts WHERE id = ? ON CONFLICT DO NOTHING
"""
HISTORY = "SELECT id, tag, from_digest, to_digest, actor, at FROM tag_history WHERE id IN ({})"


def find_registry(tx: Connection, project_id: int, name: str) -> tuple[object, ...] | None:
    """The columns of ``RegistryFacts``, and how many images it shows."""
    row: tuple[object, ...] | None = execute(tx, REGISTRY, (project_id, name)).fetchone()
    return row


def find_image(tx: Connection, registry_id: int, name: str) -> ImageRow | None:
    """The image, if it holds artifacts."""
    row = execute(tx, IMAGE, (registry_id, name)).fetchone()
    return None if row is None else ImageRow(*row)


def list_images(tx: Connection, registry_id: int, shown: int, page: Listing) -> Page[ImageRow]:
    """A page of the registry's images, of which it has ``shown``."""
    rows = having(Rows("images", _SHOWN, [registry_id], ("images", registry_id)), "name", page.keyword)
    ids = page_of_ids(tx, rows, IMAGE_ORDERS[page.sort], page, None if page.keyword else shown)

    def read(some: Sequence[int]) -> dict[int, ImageRow]:
        found = execute(tx, f"SELECT {_IMAGE} FROM images WHERE id IN ({marks(some)})", some)
        return {row[0]: ImageRow(*row) for row in found}

    return in_order(ids, read)


def list_artifacts(tx: Connection, image: ImageRow, page: Listing) -> Page[ArtifactRow]:
    """A page of the artifacts that the image shows; its total is ``MOST_FOUND`` where a keyword finds so many or more.
    A keyword is the beginning of a digest, with or without its kind, or a part of a tag."""
    name = ("artifacts", image.id)
    rows, total = Rows("artifacts", "image_id = ? AND listed", [image.id], name), image.artifact_count
    if page.keyword:
        where, values, total = _sought(tx, image.id, page.keyword)
        rows = Rows("artifacts", where, values, name)
    endless = page.keyword is not None and total == MOST_FOUND
    ids = page_of_ids(tx, rows, ARTIFACT_ORDERS[page.sort], page, total, endless=endless)

    def read(some: Sequence[int]) -> dict[int, ArtifactRow]:
        return {row[0]: ArtifactRow(*row) for row in execute(tx, f"{_ARTIFACT} WHERE a.id IN ({marks(some)})", some)}

    return in_order(ids, read)


def _sought(tx: Connection, image_id: int, keyword: str) -> tuple[str, list[object], int]:
    """Which artifacts the keyword finds: a condition, its values, and how many they are."""
    digests = _digests(keyword)
    found = _tagged_like(tx, image_id, keyword)
    if len(found) < MOST_FOUND:
        for least, beyond in digests:
            rows = execute(tx, DIGESTS, (image_id, least, beyond, MOST_FOUND - len(found)))
            found.update(row[0] for row in rows)
    if len(found) < MOST_FOUND:
        ids = sorted(found)
        some = Rows("artifacts", f"id IN ({marks(ids)}) AND listed", ids, ())
        return some.condition, [*ids], count(tx, some)
    fits, values = artifact_fits(keyword)
    return f"image_id = ? AND listed AND ({fits})", [image_id, *values], MOST_FOUND


def artifact_fits(keyword: str) -> tuple[str, list[object]]:
    """The condition on a row of ``artifacts`` that a search for the keyword is, and its values; empty: all fit."""
    if not keyword:
        return "1 = 1", []
    fits = [f"EXISTS (SELECT 1 FROM tags t WHERE t.artifact_id = artifacts.id AND {contains('t.name')})"]
    values: list[object] = [pattern(keyword)]
    for bounds in _digests(keyword):
        fits.append("(digest >= ? AND digest < ?)")
        values += bounds
    return " OR ".join(fits), values


def image_fits(keyword: str) -> tuple[str, list[object]]:
    """The same of a row of ``images``."""
    return (contains("name"), [pattern(keyword)]) if keyword else ("1 = 1", [])


def _tagged_like(tx: Connection, image_id: int, keyword: str) -> set[int]:
    """Up to ``MOST_FOUND`` artifacts with a tag that has the keyword: those whose tag begins so first, which costs what
    is found; then one look at all names."""
    if not TAG_PART(keyword):
        return set()
    found = {row[0] for row in execute(tx, TAGGED_FROM, (image_id, keyword, f"{keyword}\x7f", MOST_FOUND))}
    if len(found) < MOST_FOUND:
        # Three times as fast as what is right everywhere: SQLite's LIKE knows no case of its own accord.
        plain = not is_postgres(tx) and "_" not in keyword
        sql, like = (TAGGED_PLAIN, f"%{keyword}%") if plain else (TAGGED_LIKE, pattern(keyword))
        found.update(row[0] for row in execute(tx, sql, (image_id, like, MOST_FOUND)))
    return found


def _digests(keyword: str) -> list[tuple[str, str]]:
    """Between which digests those are that begin so; none for what no digest begins with."""
    kind, colon, digits = keyword.lower().rpartition(":")
    if not digits or set(digits) - set("0123456789abcdef") or (colon and kind not in ALGORITHMS):
        return []
    return [(f"{one}:{digits}", f"{one}:{digits}g") for one in ([kind] if colon else ALGORITHMS)]


def find_artifact(tx: Connection, image_id: int, *, digest: str | None = None, tag: str = "") -> ArtifactRow | None:
    """By digest, else by tag."""
    sql, key = (TAGGED, tag) if digest is None else (ARTIFACT, digest)
    row = execute(tx, sql, (image_id, key)).fetchone()
    return None if row is None else ArtifactRow(*row)


def list_tags(tx: Connection, artifact_id: int, page: Listing) -> Page[TagRow]:
    """A page of the artifact's tags."""
    rows = having(Rows("tags", "artifact_id = ?", [artifact_id], ("tags", artifact_id)), "name", page.keyword)
    ids = page_of_ids(tx, rows, TAG_ORDERS[page.sort], page)

    def read(some: Sequence[int]) -> dict[int, TagRow]:
        return {
            row[0]: TagRow(*row) for row in execute(tx, f"SELECT {_TAG} FROM tags WHERE id IN ({marks(some)})", some)
        }

    return in_order(ids, read)


def tags_of(tx: Connection, artifact_id: int, limit: int) -> list[TagRow]:
    """Up to ``limit`` tags of the artifact, by name."""
    return [TagRow(*row) for row in execute(tx, TAGS_OF, (artifact_id, limit))]


def accessories_of(tx: Connection, image_id: int, digest: str, limit: int) -> list[ArtifactRow]:
    """Up to ``limit`` accessories of the artifact, oldest first."""
    return [ArtifactRow(*row) for row in execute(tx, ACCESSORIES, (image_id, digest, limit)) if row[1] != digest]


def is_signed(tx: Connection, image_id: int, digest: str) -> bool:
    return bool(execute(tx, IS_SIGNED, (image_id, digest)).fetchone()[0])


def child_id(tx: Connection, image_id: int, digest: str) -> int | None:
    """The id of what an index names, if it is here."""
    row = execute(tx, CHILD, (image_id, digest)).fetchone()
    return None if row is None else int(row[0])


def manifest(tx: Connection, artifact_id: int) -> bytes:
    """The bytes as they were pushed; none when the artifact went meanwhile."""
    row = execute(tx, MANIFEST, (artifact_id,)).fetchone()
    return b"" if row is None else bytes(row[0])


def used_blobs(tx: Connection, registry_id: int, artifact_id: int) -> dict[str, UsedBlob]:
    """The blobs that the artifact uses, by digest."""
    rows = execute(tx, USED_BLOBS, (registry_id, artifact_id))
    return {row[0]: UsedBlob(row[0], int(row[1]), int(row[2]), bool(row[3])) for row in rows}


def blob_key(tx: Connection, artifact_id: int, digest: str) -> str | None:
    """Where the bytes of a blob of the artifact are, if they are whole."""
    row = execute(tx, CONFIG, (artifact_id, digest)).fetchone()
    return None if row is None else str(row[0])


def keep_details(tx: Connection, artifact_id: int, extra_attrs: str, config_type: str, children: str | None) -> None:
    """Keep what a first look found; nothing when the artifact went meanwhile."""
    execute(tx, KEEP_DETAILS, (extra_attrs, config_type, children, artifact_id))


def list_moves(tx: Connection, image_id: int, tag: str | None, page: Listing) -> Page[Move]:
    """A page of the moves of a tag, or of all tags of the image."""
    where = "image_id = ?" if tag is None else "image_id = ? AND tag = ?"
    values: list[object] = [image_id] if tag is None else [image_id, tag]
    ids = page_of_ids(tx, Rows("tag_history", where, values, ("moves", *values)), MOVE_ORDERS[page.sort], page)

    def read(some: Sequence[int]) -> dict[int, Move]:
        return {row[0]: Move(*row) for row in execute(tx, HISTORY.format(marks(some)), some)}

    return in_order(ids, read)
