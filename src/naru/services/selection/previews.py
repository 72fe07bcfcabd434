"""What a deletion of many would do: what goes, what stays because it is protected, and the bytes that become free.

Bounded: a page asks for it. What is too much to be counted so is said to be unknown, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from naru.core.paging import Listing
from naru.core.permissions import RegistryFacts
from naru.db import catalogue, protection, selection
from naru.db.catalogue import MOST_FOUND, ImageRow
from naru.db.selection import COUNTED

#: Images that are looked at for protected tags.
LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class Preview:
    """``count`` images or artifacts were chosen or found; ``more``: so many or more. With them go ``artifacts`` (all,
    whether lists show them or not; None: unknown) and ``tags``. ``kept``: what stays because of protected tags, with
    these; ``kept_known``: that is all of it. ``bytes`` that the registry uses no more, exactly; None: unknown."""

    count: int
    more: bool = False
    artifacts: int | None = None
    tags: int | None = None
    bytes: int | None = None
    kept: dict[str, list[str]] = field(default_factory=dict)
    kept_known: bool = True

    @property
    def goes(self) -> int:
        return self.count - len(self.kept)


def of_images(tx: Any, registry: RegistryFacts, chosen: Sequence[ImageRow]) -> Preview:
    """Of images that were chosen."""
    kept, known = selection.protected_images(tx, [(one.id, one.name) for one in chosen])
    going = [one for one in chosen if one.name not in kept]
    sums = selection.sums_of(tx, [one.id for one in going])
    freed = None
    if known and sums.artifacts <= COUNTED:
        freed = selection.freed_by_images(tx, registry.id, [one.id for one in going])
    return Preview(len(chosen), False, sums.artifacts, sums.tags, freed, kept, known)


def of_found_images(tx: Any, registry: RegistryFacts, keyword: str) -> Preview:
    """Of all images that a search finds."""
    sums = selection.image_sums(tx, registry.id, keyword)
    if sums.images <= LOOKED_AT:
        listing = Listing(keyword or None, "name", False, 0, LOOKED_AT)
        found = catalogue.list_images(tx, registry.id, sums.images, listing)
        return of_images(tx, registry, found.items)
    known = not protection.of_registry(tx, registry.id)
    return Preview(sums.images, False, sums.artifacts, sums.tags, None, {}, known)


def of_artifacts(tx: Any, registry: RegistryFacts, image_id: int, chosen: Sequence[tuple[int, str]]) -> Preview:
    """Of artifacts (id, digest) of one image."""
    rules = protection.of_image(tx, image_id)
    tags = selection.tags_of(tx, [one for one, _ in chosen])
    kept = {}
    if rules.rules:
        kept = {digest: sorted(found) for one, digest in chosen if (found := rules.protected(tags.get(one, ())))}
    gone = selection.taken_along(tx, image_id, [(one, digest) for one, digest in chosen if digest not in kept])
    if gone is None:
        return Preview(len(chosen), kept=kept)
    all_tags = selection.tags_of(tx, list(gone))
    # A protected tag of what would go along keeps the whole: such a deletion is refused, so nothing is promised.
    blocked = any(rules.protected(names) for names in all_tags.values()) if rules.rules else False
    freed = None if blocked else selection.freed_by_artifacts(tx, registry.id, list(gone))
    return Preview(len(chosen), False, len(gone), sum(map(len, all_tags.values())), freed, kept, not blocked)


def of_found_artifacts(tx: Any, registry: RegistryFacts, image: ImageRow, keyword: str) -> Preview:
    """Of all artifacts that a search finds."""
    listing = Listing(keyword or None, "push_time", True, 0, MOST_FOUND)
    if not keyword and image.artifact_count > MOST_FOUND:
        known = not protection.of_image(tx, image.id).rules
        return Preview(image.artifact_count, tags=image.tag_count, kept_known=known)
    found = catalogue.list_artifacts(tx, image, listing)
    if keyword and found.total >= MOST_FOUND:
        return Preview(found.total, True, kept_known=not protection.of_image(tx, image.id).rules)
    return of_artifacts(tx, registry, image.id, [(one.id, one.digest) for one in found.items])
