"""Brings events to their targets: at least once, in order for each target, none held up by another.

Rounds: events of the outbox are spread to the targets that want them, then each target with something to send gets a
task of its own, which sends one delivery after the other as long as they arrive. After a failure the target waits,
longer each time; when it has failed for the set time it is switched off with a notice, and what waits is kept. A crash
loses nothing: what was sent and not yet noted is sent again, with the same ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from naru.core.audit import Action, Actor
from naru.core.errors import NaruError
from naru.core.permissions import RegistryFacts
from naru.core.ports import Clock
from naru.core.webhooks import (
    REFUSED_TRIES,
    Event,
    Events,
    EventType,
    Figures,
    Verdict,
    delay,
    message,
    row_id,
    verdict,
)
from naru.db import audit
from naru.db.engine import Database
from naru.db.webhooks import figures, history, lanes, outbox, told
from naru.db.webhooks.lanes import Lane, Try, Waiting
from naru.db.webhooks.policies import Target, Webhook
from naru.services.webhooks.pacing import LATE, SPACING, Pacer
from naru.services.webhooks.sending import Sender, tell_some, to_spread

log = logging.getLogger(__name__)

#: Events that one transaction spreads: a few milliseconds, so that pushes wait no longer than that.
BATCH = 50
BUSY_BATCH = 8
#: Large images whose events are made in turns.
IMAGES = 8
#: Targets that are sent to at once; those that failed before get half of the places, so that receivers that stall,
#: however many, leave room.
PLACES = 256
#: Deliveries of a target that are read at once, and noted together when they arrive one after the other; with the first
#: that ends so many seconds after the last note. A crash in between sends them again.
AT_ONCE = 20
NOTE_SECONDS = 1.0
LEASE = 120_000_000  # microseconds; far above what a try may take
POLL_SECONDS = 0.5
PRUNE_SECONDS = 60.0
STEP = 500
DAY = 86_400_000_000
#: How long what waits is kept.
PENDING_DAYS = 30
#: Who switches webhooks off that fail for too long, in the audit log.
OURSELVES = Actor("naru")


class Deliveries:
    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        sender: Sender,
        pacer: Pacer,
        give_up_hours: int,
        history_days: int,
        alone: bool = True,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``alone``: no other process delivers for this database."""
        self._database = database
        self._clock = clock
        self._sender = sender
        self._pacer = pacer
        self._give_up = give_up_hours * 3_600_000_000
        self._history = history_days * DAY
        self._alone = alone
        self._jitter = jitter
        self._lanes: dict[int, asyncio.Task[None]] = {}
        self._failing: set[int] = set()
        self._crowded = False  # somebody waits for a place
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tests = asyncio.Semaphore(8)
        self._stopping = False
        self._tried = dict.fromkeys(Verdict, 0)

    # The loop

    async def start(self) -> None:
        if self._alone:
            await self._database.write(lanes.release_all)
        self._task = asyncio.create_task(self._loop(), name="naru-webhooks")

    async def aclose(self) -> None:
        """What is being sent may end in a moment; the rest is sent after the next start."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        running = list(self._lanes.values())
        if running:
            _done, left = await asyncio.wait(running, timeout=1.0)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def wake(self) -> None:
        """Look at once, not at the next turn."""
        self._wake.set()

    async def _loop(self) -> None:
        prune_in = 0.0
        while True:
            pause = POLL_SECONDS
            try:
                pause = await self.round()
                if prune_in <= 0:
                    await self.prune()
                    prune_in = PRUNE_SECONDS
            except NaruError as error:
                log.warning("webhooks: events wait a moment: %s", error)
            except Exception:
                log.exception("webhooks: events wait a moment")
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()
            prune_in -= pause

    async def round(self) -> float:
        """Spread what is new, and begin to send to each target that has its turn; seconds until the next round. While
        the server is busy little is spread at once, unless it is late: as much as is sent until then."""
        while await self._database.read(outbox.has_new):
            busy = self._pacer.is_busy()
            limit = BUSY_BATCH if busy else BATCH
            oldest, made = await self._spread(limit)
            went, more = await self._tell(limit)
            await self._begin()
            age = self._clock.now() - min(oldest, went)
            if busy and age <= LATE:
                await self._begin()
                return min(SPACING * (made + more) or POLL_SECONDS, POLL_SECONDS)
            await self._pacer.rest(made + more, age)
        await self._begin()
        return POLL_SECONDS

    async def settle(self) -> None:
        """Rounds until nothing can be sent now: for tests and for a stop in order."""
        while True:
            await self.round()
            if self._lanes:
                await asyncio.gather(*self._lanes.values(), return_exceptions=True)
            elif not await self._database.read(outbox.has_new):
                return

    async def _spread(self, limit: int) -> tuple[int, int]:
        """When the oldest of them happened, and how many deliveries were made."""
        found = await self._database.read(lambda tx: to_spread(tx, limit))
        now = self._clock.now()
        made = await self._database.write(
            lambda tx: outbox.spread(tx, [(one.id, made) for one, made in found], now), ("webhooks: spread",)
        )
        return min((one.at for one, _made in found), default=now), made

    async def _tell(self, limit: int) -> tuple[int, int]:
        """Make up to ``limit`` events of each of some large images that went or came back: the same."""
        images = await self._database.read(lambda tx: told.ready(tx, IMAGES))
        made = 0
        for one in images:
            made += await self._database.write(
                lambda tx, one=one: tell_some(tx, one, limit, self._clock.now()),  # type: ignore[misc]
                ("webhooks: spread",),
            )
        return min((one.at for one in images), default=self._clock.now()), made

    async def tell(self, image_id: int) -> None:
        """Make all events of an image that are still to be made of its rows, before these change. In half of the
        time, the other half is for requests."""
        while not await self._database.read(lambda tx: told.is_told(tx, image_id)):
            began = time.monotonic()
            await self._spread(BATCH)
            await self._tell(BATCH)
            await asyncio.sleep(time.monotonic() - began)
        self.wake()

    async def _begin(self) -> None:
        now = self._clock.now()
        for target_id, failures in await self._database.read(lambda tx: lanes.open_lanes(tx, now, 4 * PLACES)):
            if target_id in self._lanes:
                continue
            if len(self._lanes) >= PLACES:
                self._crowded = True
                break
            if failures and len(self._failing) >= PLACES // 2:
                continue
            if failures:
                self._failing.add(target_id)
            task = asyncio.create_task(self._run(target_id), name=f"naru-webhook-{target_id}")
            self._lanes[target_id] = task
            task.add_done_callback(lambda _task, target_id=target_id: self._ended(target_id))  # type: ignore[misc]

    def _ended(self, target_id: int) -> None:
        del self._lanes[target_id]
        self._failing.discard(target_id)
        if self._crowded:
            self._crowded = False
            self._wake.set()

    # One target

    async def _run(self, target_id: int) -> None:
        lease = secrets.randbits(62)
        try:
            now = self._clock.now()
            if not await self._database.write(
                lambda tx: lanes.claim(tx, target_id, lease, now + LEASE, now), _lane_lock(target_id)
            ):
                return
            while not self._stopping:
                # Anew each time: its owner may have given it another address or secret.
                lane, waiting = await self._database.read(lambda tx: lanes.next_deliveries(tx, target_id, AT_ONCE))
                if lane is None or not waiting:
                    break
                if not await self._deliver_all(lane, lease, waiting):
                    return
            await self._database.write(lambda tx: lanes.release(tx, target_id, lease), _lane_lock(target_id))
        except NaruError as error:
            log.warning("webhooks: target %d waits until its lease ends: %s", target_id, error)
        except Exception:
            log.exception("webhooks: target %d waits until its lease ends", target_id)

    async def _deliver_all(self, lane: Lane, lease: int, waiting: list[Waiting]) -> bool:
        """Try one after the other and note what came; whether the lane goes on."""
        arrived: list[tuple[int, Try]] = []
        since = time.monotonic()
        for one in waiting:
            await self._pacer.turn(self._clock.now() - one.event_at)
            tried, retry_after = await self._sender.send(lane, one)
            came = verdict(tried.http_status)
            self._tried[came] += 1
            if came is Verdict.DELIVERED:
                arrived.append((one.id, tried))
                if time.monotonic() - since < NOTE_SECONDS and not self._stopping:
                    continue
            if not await self._note(lane, lease, arrived):
                return False
            arrived, since = [], time.monotonic()
            if came is not Verdict.DELIVERED and not await self._missed(lane, lease, one, tried, retry_after):
                return False
            if self._stopping:
                break
        return await self._note(lane, lease, arrived)

    async def _note(self, lane: Lane, lease: int, arrived: list[tuple[int, Try]]) -> bool:
        """They arrived; whether the lane is still ours."""
        if not arrived:
            return True
        until = self._clock.now() + LEASE
        return await self._database.write(
            lambda tx: lanes.delivered(tx, lane, lease, arrived, until), _lane_lock(lane.target_id)
        )

    async def _missed(self, lane: Lane, lease: int, one: Waiting, tried: Try, retry_after: str | None) -> bool:
        """It did not arrive; whether the lane goes on."""
        notice = tried.error or f"{one_line(lane.address)} answered with status {tried.http_status}"
        if verdict(tried.http_status) is Verdict.REFUSED and one.attempts + 1 >= REFUSED_TRIES:
            told = f"event {row_id('event', one.event_id, one.event_at)} was refused: {notice}"
            until = self._clock.now() + LEASE
            return await self._database.write(
                lambda tx: lanes.refused(tx, lane, lease, one.id, tried, told, until), _lane_lock(lane.target_id)
            )
        await self._failed(lane, lease, one, tried, notice, retry_after)
        return False

    async def _failed(
        self, lane: Lane, lease: int, one: Waiting, tried: Try, notice: str, retry_after: str | None
    ) -> None:
        """The target waits; or is switched off, when it has failed for long enough."""
        now = self._clock.now()
        jitter = self._jitter()

        def note(tx: Any) -> str | None:
            current = lanes.lane(tx, lane.target_id)  # not as it was at the claim: others arrived since
            if current is None:
                return None
            failures = current.failures + 1
            failing_since = tried.at if current.failing_since is None else current.failing_since
            give_up = now - failing_since >= self._give_up
            noted = lanes.failed(
                tx,
                lane,
                lease,
                one.id,
                tried,
                failures=failures,
                failing_since=failing_since,
                retry_at=None if give_up else now + delay(failures, jitter, retry_after),
                suspended_at=now if give_up else None,
                notice=notice,
            )
            if not (give_up and noted):
                return None
            resource = f"{lane.registry}/webhooks/{lane.webhook}"
            detail = {"target": lane.target_id, "failures": failures, "notice": notice}
            audit.record(tx, lane.project_id, now, Action.WEBHOOK_SUSPEND, OURSELVES, resource, detail)
            return resource

        switched_off = await self._database.write(note)
        if switched_off is not None:
            log.warning("webhooks: a target of %s fails for too long and was switched off: %s", switched_off, notice)

    async def figures(self) -> Figures:
        """How deliveries stand, and what came of the tries since the start."""
        found = await self._database.read(figures.read)
        oldest = None if found.oldest is None else max(0, self._clock.now() - found.oldest) / 1_000_000
        return Figures(dict(self._tried), found.new, found.waiting, oldest, found.suspended)

    # Tests

    async def test(self, webhook: Webhook, registry: RegistryFacts, actor: str) -> list[int]:
        """Send each target a made-up push now, outside of its lane; the deliveries' ids."""
        return list(await asyncio.gather(*(self._test(webhook, one, registry, actor) for one in webhook.targets)))

    async def _test(self, webhook: Webhook, target: Target, registry: RegistryFacts, actor: str) -> int:
        now = self._clock.now()
        digest = "sha256:" + "0" * 64

        def add(tx: Any) -> tuple[Lane | None, int, bytes, str, int]:
            event_id = history.add_test_event(tx, registry.id, now, actor, "naru-test", digest, ["test"])
            event = Event(
                id=row_id("event", event_id, now),
                type=EventType.PUSH,
                at=now,
                actor=actor,
                registry_id=registry.id,
                registry=registry.name,
                image="naru-test",
                digest=digest,
                tags=("test",),
                image_created_at=now,
                public=registry.anonymous_pull,
                host=webhook.host,
            )
            made = message(event, target.kind, target.payload_format, webhook.id)
            number = history.add_test(tx, webhook.id, target.id, event_id, now, made.content_type, made.body)
            return lanes.lane(tx, target.id), event_id, made.body, made.content_type, number

        async with self._tests:
            lane, event_id, body, content_type, number = await self._database.write(add)
            if lane is not None:
                one = Waiting(number, now, 0, content_type, body, event_id, now, Events.PUSH)
                tried, _retry_after = await self._sender.send(lane, one)
                status = "Success" if verdict(tried.http_status) is Verdict.DELIVERED else "Error"
                await self._database.write(lambda tx: lanes.add_try(tx, number, tried, status, self._clock.now()))
        return number

    # The end by age

    async def prune(self) -> None:
        """Remove deliveries that ended, and what has waited, for longer than they are kept."""
        now = self._clock.now()
        while True:
            gone = await self._database.write(lambda tx: history.give_up_waiting(tx, now - PENDING_DAYS * DAY, STEP))
            if not gone:
                break
            log.warning("webhooks: %d deliveries that waited for too long were removed", gone)
            await asyncio.sleep(0.01)
        while True:
            gone = await self._database.write(lambda tx: history.prune(tx, now - self._history, STEP))
            if gone < STEP:
                break
            await asyncio.sleep(0.01)  # pushes have their turn


def one_line(address: str) -> str:
    """Scheme and host of an address: paths and queries of receivers can be their secrets."""
    return "/".join(address.split("?", maxsplit=1)[0].split("/")[:3])


def _lane_lock(target_id: int) -> tuple[str, ...]:
    """What a change of the lane by its holder names."""
    return (f"lane:{target_id}",)
