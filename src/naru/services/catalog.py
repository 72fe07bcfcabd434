"""Lists: tags of an image, images of a project, referrers of a manifest. Keyset paging throughout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from naru.core.digest import Digest
from naru.core.names import RepositoryName
from naru.core.permissions import Grant, Permission
from naru.db.pull import PullQueries

#: Bytes of descriptors on one page of referrers: clients must take an index of 4 MiB, annotations make them long.
REFERRERS_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """``more`` says that the list goes on after the last item."""

    items: list[str]
    more: bool


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """Descriptors as the image spec has them. ``after`` continues the list; None at its end."""

    descriptors: list[dict[str, Any]]
    after: int | None


@dataclass(frozen=True, slots=True)
class TagList:
    """A page of tags. ``last``: the last one, when the list goes on behind it."""

    json: bytes
    last: str | None


_BETWEEN = b'","'


class Catalog:
    def __init__(self, *, pull: PullQueries) -> None:
        self._pull = pull

    async def tags(self, grant: Grant, name: RepositoryName, last: str, limit: int) -> Page:
        """Tag names after ``last`` in byte order; an image that nobody pushed to yet has none."""
        grant.require(Permission.VIEW)
        if limit == 0:
            return Page([], more=False)
        found = await self._pull.tags(grant.registry.id, name.image, last, limit + 1)
        return Page(found[:limit], len(found) > limit)

    async def tag_list(self, grant: Grant, name: RepositoryName, last: str, limit: int) -> TagList:
        """The same for a page of any length: the names as a JSON array."""
        grant.require(Permission.VIEW)
        names, count = await self._pull.tag_list(grant.registry.id, name.image, last, limit + 1)
        if count > limit:
            names = names[: names.rindex(_BETWEEN)]
        if not names:
            return TagList(b"[]", None)
        end = names.rpartition(_BETWEEN)[2].decode() if count > limit else None
        return TagList(b'["' + names + b'"]', end)

    async def images(self, grants: Sequence[Grant], last: str, limit: int) -> Page:
        """Full names after ``last``, of the registries of ``grants`` (in the order of ``name + "/"``), in byte
        order."""
        found: list[str] = []
        if limit == 0:
            return Page([], more=False)
        for grant in grants:
            grant.require(Permission.VIEW)
            prefix = grant.registry.name + "/"
            if last >= prefix and not last.startswith(prefix):
                continue  # the whole registry sorts before
            after = last[len(prefix) :] if last.startswith(prefix) else ""
            names = await self._pull.images(grant.registry.id, after, limit + 1 - len(found))
            found.extend(prefix + name for name in names)
            if len(found) > limit:
                break
        return Page(found[:limit], len(found) > limit)

    async def referrers(
        self, grant: Grant, name: RepositoryName, subject: Digest, artifact_type: str | None, after: int, limit: int
    ) -> ReferrersPage:
        """Who names ``subject``, whether or not the subject itself has arrived."""
        grant.require(Permission.VIEW)
        rows = await self._pull.referrers(
            grant.registry.id, name.image, str(subject), artifact_type, after, limit + 1, REFERRERS_BYTES
        )
        descriptors: list[dict[str, Any]] = []
        size = 0
        for count, row in enumerate(rows):
            size += 400 + len(row.annotations or "")
            if count == limit or (count and size > REFERRERS_BYTES):
                return ReferrersPage(descriptors, rows[count - 1].artifact_id)
            descriptor: dict[str, Any] = {"mediaType": row.media_type, "size": row.size, "digest": row.digest}
            if row.artifact_type is not None:
                descriptor["artifactType"] = row.artifact_type
            if row.annotations is not None:
                descriptor["annotations"] = json.loads(row.annotations)
            descriptors.append(descriptor)
        return ReferrersPage(descriptors, None)
