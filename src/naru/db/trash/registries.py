"""Deleting a registry: hidden at once, whatever it holds, and taken apart by the collector in steps.

The first transaction renames it to what nobody can ask for and gives it a kind of its own, which lists, counts and
lookups leave out; who was let in before finds nothing in it, and can make nothing in it (``images.ensure_image``). Then
its images go as those that are deleted for good do, each hidden first. Each step leaves every rule between rows true,
so that a crash between two of them needs no repair.
"""

from __future__ import annotations

from sqlalchemy import Connection

from naru.db.engine import execute
from naru.db.trash import moves
from naru.db.trash.deletions import HIDDEN, Deletion, hide_image

#: ``registries.kind`` of a registry that is deleted.
DELETED = "deleted"
#: Images that are hidden, or deletions that are given up, in one transaction.
ROWS = 100

HIDE = f"""
    UPDATE registries SET name = '{HIDDEN}' || id, kind = '{DELETED}', anonymous_pull = FALSE, webhook_events = 0,
        limit_storage = NULL
    WHERE id = ?
"""
#: What they protected may go: that was asked before.
UNPROTECT = "DELETE FROM protection_rules WHERE registry_id = ?"
NEXT = f"SELECT id FROM registries WHERE kind = '{DELETED}' ORDER BY id"
GIVE_UP = """
    UPDATE trash SET expires_at = 0
    WHERE id IN (SELECT id FROM trash WHERE registry_id = ? AND expires_at > 0 LIMIT ?)
"""
SHOWN = """
    SELECT i.id, i.name, i.artifact_count FROM images i
    WHERE i.registry_id = ? AND NOT EXISTS (SELECT 1 FROM trash t WHERE t.image_id = i.id) LIMIT ?
"""
HOLDS = """
    SELECT 1 WHERE EXISTS (SELECT 1 FROM images WHERE registry_id = ?)
        OR EXISTS (SELECT 1 FROM trash WHERE registry_id = ?)
"""
REMOVE = "DELETE FROM registries WHERE id = ?"


def hide_registry(tx: Connection, registry_id: int) -> None:
    """Nobody sees the registry any more, nor anything in it. Its rows are for the collector."""
    execute(tx, UNPROTECT, (registry_id,))
    execute(tx, HIDE, (registry_id,))


def is_due(tx: Connection) -> bool:
    """Whether a deleted registry is not taken apart yet."""
    return execute(tx, NEXT).fetchone() is not None


def hide_images(tx: Connection, now: int) -> bool:
    """Hide some of the images of deleted registries, so that ``deletions.remove_due`` removes them. Whether there are
    more."""
    for (registry_id,) in execute(tx, NEXT).fetchall():
        if execute(tx, GIVE_UP, (registry_id, ROWS)).rowcount:
            return True
        budget = moves.STEP
        for image_id, name, artifacts in execute(tx, SHOWN, (registry_id, ROWS)).fetchall():
            hide_image(tx, Deletion(registry_id, name, image_id, "", now, 0))
            budget -= 1 + int(artifacts)
            if budget <= 0:
                break
        if budget < moves.STEP:
            return True
    return False


def remove_empty(tx: Connection) -> None:
    """Take away the rows of deleted registries whose images are all gone."""
    for (registry_id,) in execute(tx, NEXT).fetchall():
        if execute(tx, HOLDS, (registry_id, registry_id)).fetchone() is None:
            execute(tx, REMOVE, (registry_id,))
