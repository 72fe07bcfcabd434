"""The trash: list what was deleted, restore it, remove it for good.

A deletion by the API is one unit here, and restored as one. Usage and quotas do not count what is in the trash; where a
registry has a quota, its trash may hold as much again, and its oldest deletions go when it holds more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from naru.core.audit import Action
from naru.core.errors import BadRequest, Conflict, NameUnknown, NotFound
from naru.core.names import RepositoryName
from naru.core.permissions import Permission, ProjectGrant
from naru.core.ports import Clock
from naru.core.trash import Kind, Taken
from naru.core.webhooks import Events
from naru.db import audit, usage
from naru.db import images as image_rows
from naru.db import registries as registry_rows
from naru.db.engine import Database
from naru.db.trash import deletions, moves, registries, restores, rows
from naru.db.trash.rows import Deleted, Sought
from naru.db.webhooks import outbox, told
from naru.services.limits import PushLimits, check_room
from naru.services.lists import Asked
from naru.services.pacing import Pace

__all__ = ["Deleted", "DeletedView", "Restored", "Sought", "Trash"]

log = logging.getLogger(__name__)

T = TypeVar("T")

SHOWN_TAGS = 100
#: Names of tags that a message tells.
NAMED = 5
#: Deletions that ``empty`` gives up in one transaction.
BATCH = 1000
#: How many half seconds a restore waits until another process has told webhooks of the deletion.
WAITS = 60
#: A restore in steps keeps the collector from undoing it; longer than any step.
BUSY_MICROSECONDS = 60_000_000


@dataclass(frozen=True, slots=True)
class DeletedView:
    """A deletion as doors show it, with the first tags."""

    row: Deleted
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back. ``image``: registry/image where it is now. ``left_out``: tags that name something else now.
    ``done``: all came back; ``ids``: of how many artifacts the last step took care."""

    image: str
    artifacts: int = 0
    tags: int = 0
    left_out: list[str] = field(default_factory=list)
    done: bool = False
    ids: int = 0

    def with_step(self, step: Restored) -> Restored:
        """After a further step."""
        left_out = [*self.left_out, *step.left_out][: restores.TOLD]
        return Restored(self.image, self.artifacts + step.artifacts, self.tags + step.tags, left_out, step.done)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A restore under way. ``one`` as it was found; ``needed`` bytes by which usage grows; ``ids`` of its artifacts,
    those before ``at`` are back."""

    grant: ProjectGrant
    one: Deleted
    name: RepositoryName
    taken: Taken
    needed: int
    ids: list[int]
    back: Restored
    pace: Pace
    at: int = 0

    @property
    def is_large(self) -> bool:
        """Whether it comes back in steps: an image that one step cannot hold."""
        return self.one.kind == Kind.IMAGE and len(self.ids) > moves.STEP


class Trash:
    def __init__(self, *, database: Database, clock: Clock, limits: PushLimits) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits
        #: Tells webhooks all of an image, by its id, that they are still to be told; the application sets it.
        self.tell: Callable[[int], Awaitable[None]] | None = None

    async def page(self, grant: ProjectGrant, sought: Sought, asked: Asked) -> tuple[list[DeletedView], int]:
        """A page, the last deletion first, and the total. ``BadRequest`` for an order that there is not."""
        grant.require(Permission.VIEW)
        listing = asked.among(rows.ORDERS, "-deletion_time")
        sought = sought._replace(keyword=asked.keyword)

        def read(tx: Any) -> tuple[list[DeletedView], int]:
            found, total = rows.listed(
                tx,
                grant.project.id,
                sought,
                listing.sort,
                descending=listing.descending,
                offset=listing.offset,
                limit=listing.limit,
            )
            return [DeletedView(one, rows.tags_of(tx, one, SHOWN_TAGS)) for one in found], total

        return await self._database.read(read)

    async def view(self, grant: ProjectGrant, trash_id: int) -> DeletedView:
        """``NotFound``."""
        grant.require(Permission.VIEW)

        def read(tx: Any) -> DeletedView:
            one = _find(tx, grant, trash_id)
            return DeletedView(one, rows.tags_of(tx, one, SHOWN_TAGS))

        return await self._database.read(read)

    # Back.

    async def restore(
        self, grant: ProjectGrant, trash_id: int, *, taken: Taken = Taken.REFUSE, image: str | None = None
    ) -> Restored:
        """Bring a deletion back, whole: artifacts with tags, counts and times. ``image``: to another image of the
        registry than it was in. An image that is not there (any more) is made.

        ``NotFound``; ``Conflict`` when tags name something else by now and ``taken`` does not say what to do, or when
        what a tag named is gone; ``ProtectedTag`` for one that may not be moved back; ``LimitExceeded``.
        """
        grant.require(Permission.MANAGE)
        asked = await self._database.read(lambda tx: _ask(tx, self._limits, grant, trash_id, taken, image))
        if asked.one.image_id is not None:
            await self._all_told(asked.one.image_id)
        try:
            while not asked.back.done:
                step = await self._paced(partial(self._restore_step, asked))
                asked = replace(asked, back=asked.back.with_step(step), at=asked.at + step.ids)
        except BaseException:
            if asked.is_large:  # its usage was put back in steps: the collector takes it off again
                self._database.write_soon(lambda tx: rows.keep_busy(tx, trash_id, 0), "the end of a restore", locks=())
            raise
        return asked.back

    async def _all_told(self, image_id: int) -> None:
        """What webhooks are to be told of the deletion is told; by another process, where this one does not."""
        if self.tell is not None:
            await self.tell(image_id)
            return
        for _ in range(WAITS):
            if await self._database.read(lambda tx: told.is_told(tx, image_id)):
                return
            await asyncio.sleep(0.5)

    def _restore_step(self, asked: _Asked, tx: Any) -> Restored:
        now = self._clock.now()
        one = _find(tx, asked.grant, asked.one.id)
        if one.image_id is not None and not told.is_told(tx, one.image_id):
            raise Conflict("webhooks are still being told of the deletion: try again in a moment")
        target = image_rows.find_image(tx, one.registry_id, asked.name.image)
        if one.kind == Kind.TAG:
            step = self._restore_tag(tx, asked, one, target, now)
        elif one.kind == Kind.IMAGE and target is None and not one.partial:
            step = self._reveal(tx, asked, one, now)
        else:
            step = self._merge(tx, asked, one, target, now)
        if step.done:
            _record(tx, asked, asked.back.with_step(step), now)
        else:
            rows.keep_busy(tx, one.id, now + BUSY_MICROSECONDS)
        return step

    def _reveal(self, tx: Any, asked: _Asked, one: Deleted, now: int) -> Restored:
        """The whole image under its name: bytes count first, in steps if it is large; then it is there, at once."""
        name = asked.name
        if not moves.unsettle(tx, one.id, asked.ids):
            return Restored(str(name))
        counted = restores.reveal(tx, one, name.image, now)
        added = asked.needed
        self._limits.check_restored(tx, one.registry_id, name, counted, listed=one.listed, tags=0, added=added)
        if one.image_id is not None:
            told.tell_image(tx, one.registry_id, Events.PUSH, now, asked.grant.actor, name.image, one.image_id)
        return Restored(str(name), one.artifacts, one.tags, done=True)

    def _merge(self, tx: Any, asked: _Asked, one: Deleted, target: int | None, now: int) -> Restored:
        """Into an image that is there, or is made. An artifact with what belongs to it in one transaction; a whole
        image in steps: what is there while they go on is whole, artifact by artifact."""
        name, actor = asked.name, asked.grant.actor
        if target is None:
            target = image_rows.ensure_image(tx, one.registry_id, name.image, now)
        elif asked.taken is Taken.REFUSE and not asked.is_large:
            _refuse_taken(restores.taken_tags(tx, one, target, NAMED + 1), name)
        ids = asked.ids[asked.at :]
        if asked.is_large:
            ids = moves.some(tx, ids[: asked.pace.size])
        began = time.monotonic()
        step = restores.merge(tx, one, target, asked.taken, actor.name, now, ids)
        asked.pace.took(time.monotonic() - began)
        if step.counted is not None:
            counted, most, added = step.counted, step.most_tags, step.added
            # A large image was counted before its first step. In between it lists more than at the end: children whose
            # index is still to come.
            listed = 0 if asked.is_large else step.listed
            self._limits.check_restored(tx, one.registry_id, name, counted, listed=listed, tags=most, added=added)
        left_out = set(step.left_out)
        came = [(digest, [tag for tag in tags if tag not in left_out]) for digest, tags in step.came]
        outbox.tell_all(tx, one.registry_id, Events.PUSH, now, actor, name.image, came)
        return Restored(str(name), step.artifacts, len(step.tags), step.left_out, step.done, step.ids)

    def _restore_tag(self, tx: Any, asked: _Asked, one: Deleted, target: int | None, now: int) -> Restored:
        name = asked.name
        tag, digest = one.tag or "", one.digest or ""
        artifact_id = None if target is None else image_rows.find_artifact(tx, target, digest)
        if target is None or artifact_id is None:
            held = rows.holder_of(tx, one.registry_id, one.image, digest)
            cure = f"restore deletion {held} first, which has it" if held else "push it again, then make the tag anew"
            raise Conflict(f"the tag '{tag}' named {digest}, which image '{name}' has no more; {cure}")
        names = image_rows.tagged(tx, target, tag)
        if names not in {None, digest} and asked.taken is not Taken.MOVE:
            _refuse_taken([(tag, str(names))], name)
        restores.restore_tag(tx, one, target, artifact_id, asked.grant.actor.name, now)
        self._limits.check_tag(tx, one.registry_id, name, artifact_id)
        return Restored(str(name), 0, 1, done=True)

    # For good.

    async def purge(self, grant: ProjectGrant, trash_id: int) -> None:
        """It cannot be restored from now on; the collector frees its bytes at its next round. ``NotFound``."""
        grant.require(Permission.ADMINISTER)
        now = self._clock.now()

        def give_up(tx: Any) -> None:
            one = _find(tx, grant, trash_id)
            rows.give_up(tx, [trash_id])
            detail = {"trash": one.id, "kind": one.kind, "artifacts": one.artifacts, "bytes": one.bytes}
            audit.record(tx, grant.project.id, now, Action.TRASH_PURGE, grant.actor, one.name, detail)

        await self._database.write(give_up)

    async def empty(self, grant: ProjectGrant, registry: str | None = None) -> int:
        """The same for everything, or everything of a registry that was deleted until now. How many deletions that
        were. ``NameUnknown``."""
        grant.require(Permission.ADMINISTER)
        sought = Sought(registry=registry)
        now = self._clock.now()
        count = 0

        def give_up(tx: Any) -> int:
            if registry is not None and registry_rows.find_registry(tx, grant.project.id, registry) is None:
                raise NameUnknown(f"there is no registry {ascii(registry)[:80]} in this project")
            given = rows.give_up(tx, rows.ids(tx, grant.project.id, sought, now, BATCH))
            if given:
                detail = {"deletions": given}
                audit.record(tx, grant.project.id, now, Action.TRASH_PURGE, grant.actor, registry or "trash", detail)
            return given

        while given := await self._paced(give_up):
            count += given
        return count

    # The collector's part.

    async def settle(self, trash_id: int) -> None:
        """Take a hidden image off the usage of its registry, in steps."""

        ids = await self._database.read(lambda tx: rows.ids_in(tx, trash_id))

        def step(tx: Any) -> bool:
            return rows.is_busy(tx, trash_id, self._clock.now()) or moves.settle(tx, trash_id, ids)

        while not await self._paced(step):
            pass

    async def is_due(self) -> bool:
        """Whether ``expire`` has something to do."""
        await self._bound()
        return await self._database.read(lambda tx: rows.is_due(tx, self._clock.now()) or registries.is_due(tx))

    async def expire(self, removed: Callable[[int], None]) -> None:
        """Remove what has expired, was given up, is in a deleted registry, or is more than a registry's quota lets its
        trash hold; finish what a crash left unfinished. ``removed`` is told how many deletions went, step by step, and
        may raise to stop."""
        while await self._paced(lambda tx: registries.hide_images(tx, self._clock.now())):
            removed(0)
        await self._bound()
        for trash_id in await self._database.read(lambda tx: rows.unsettled(tx, self._clock.now(), BATCH)):
            await self.settle(trash_id)
        count = 0
        while True:
            step = await self._paced(lambda tx: deletions.remove_due(tx, self._clock.now()))
            count += step.deletions
            removed(count)
            if not step.more:
                break
        await self._database.write(registries.remove_empty)

    async def _bound(self) -> None:
        for registry_id, quota in await self._database.read(rows.bounded_registries):
            await self._bound_one(registry_id, quota)

    async def _bound_one(self, registry_id: int, quota: int) -> None:
        while await self._database.read(lambda tx: rows.kept_bytes(tx, registry_id)) > quota:
            oldest = await self._database.read(lambda tx: rows.oldest(tx, registry_id, 1))
            if not oldest:
                return
            log.info("registry %d: the trash holds more than the quota: deletion %d goes", registry_id, oldest[0])
            await self._database.write(lambda tx, ids=oldest: rows.give_up(tx, ids))  # type: ignore[misc]

    async def _paced(self, step: Callable[[Any], T]) -> T:
        """One transaction, and then a pause as long as it took: half of the time belongs to pushes and pulls."""
        began = time.monotonic()
        done = await self._database.write(step)
        await asyncio.sleep(min(time.monotonic() - began, 0.1))
        return done


def _find(tx: Any, grant: ProjectGrant, trash_id: int) -> Deleted:
    one = rows.find(tx, grant.project.id, trash_id)
    if one is None:
        raise NotFound(
            f"the trash has no deletion {trash_id}: it was restored, removed, has expired, or went with its registry"
        )
    return one


def _ask(tx: Any, limits: PushLimits, grant: ProjectGrant, trash_id: int, taken: Taken, image: str | None) -> _Asked:
    """``NotFound``, ``NameInvalid``, ``BadRequest``; ``LimitExceeded`` when the quota has no room. A large image comes
    in steps, so what could stop one of them is looked at before the first: ``LimitExceeded``, ``Conflict``."""
    one = _find(tx, grant, trash_id)
    name = RepositoryName.parse(f"{one.registry}/{image or one.image}")
    back = Restored(str(name))
    pace = Pace(lambda: True, seconds=moves.MERGE_SECONDS, share=0.5, least=1, most=moves.MERGED)
    if one.kind == Kind.TAG:
        if name.image != one.image:
            raise BadRequest("a tag can only be restored to its own image")
        return _Asked(grant, one, name, taken, 0, [], back, pace)
    needed = rows.needed_bytes(tx, one)
    if needed:
        check_room(tx, one.registry_id, one.registry, usage.quota(tx, one.registry_id), needed, counted=False)
    asked = _Asked(grant, one, name, taken, needed, rows.ids_in(tx, trash_id), back, pace)
    target = image_rows.find_image(tx, one.registry_id, name.image)
    if asked.is_large:
        counted, listed, tags = restores.forecast(tx, one, target, taken)
        limits.check_restored(tx, one.registry_id, name, counted, listed=listed, tags=tags, added=0)
        if taken is Taken.REFUSE and target is not None:
            _refuse_taken(restores.taken_tags(tx, one, target, NAMED + 1), name)
    return asked


def _record(tx: Any, asked: _Asked, back: Restored, now: int) -> None:
    one, grant = asked.one, asked.grant
    detail: dict[str, object] = {
        "trash": one.id,
        "kind": one.kind,
        "artifacts": back.artifacts,
        "tags": back.tags,
        "deleted_by": one.actor,
    }
    if one.digest is not None:
        detail["digest"] = one.digest
    if back.left_out:
        detail["left_out"] = back.left_out[:SHOWN_TAGS]
    what = f":{one.tag}" if one.tag else f"@{one.digest}" if one.digest else ""
    audit.record(tx, grant.project.id, now, Action.TRASH_RESTORE, grant.actor, f"{asked.name}{what}", detail)


def _refuse_taken(taken: list[tuple[str, str]], name: RepositoryName) -> None:
    if not taken:
        return
    told = ", ".join(f"'{tag}' names {digest}" for tag, digest in taken[:NAMED])
    raise Conflict(
        f"tags of image '{name}' name something else by now: {told}{', ...' if len(taken) > NAMED else ''}; nothing "
        "was restored. Restore without them (taken_tags: skip), take them back (move), or restore to another image"
    )
