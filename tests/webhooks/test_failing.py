"""Receivers that fail, stall, lie and redirect: everything arrives later, in order, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest

from naru.services.webhooks import deliveries as module
from tests import make
from tests.api.client import audit_rows
from tests.conftest import Naru
from tests.webhooks.receiver import OPEN, POLICIES, deliveries, hook, policy, raw, receiving, shown

pytestmark = pytest.mark.options(**OPEN)

HOUR = 3600


async def settle(naru: Naru) -> None:
    await naru.application.deliveries.settle()


async def test_a_failing_receiver_gets_everything_later_in_order_with_the_same_ids(naru: Naru) -> None:
    async with receiving() as receiver:
        receiver.answers = [500, raw(302, b"", f"Location: {receiver.url}"), 404]
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        for tag in "abc":
            await make.image(naru.admin, "team/app", tag, seed=tag)
        await settle(naru)
        assert receiver.tags == ["a"]  # b and c wait behind it
        (target,) = (await shown(admin, number))["targets"]
        assert (target["status"], target["waiting"], target["failures"]) == ("failing", 3, 1)
        assert "answered with status 500" in target["notice"]
        await settle(naru)
        assert receiver.tags == ["a"]  # not before its time
        for seconds in (12, 35, 100):
            naru.clock.advance(seconds)
            await settle(naru)
        assert receiver.tags == ["a", "a", "a", "a", "b", "c"]
        assert len({one.id for one in receiver.got[:4]}) == 1
        assert len({one.headers["x-naru-delivery"] for one in receiver.got[:4]}) == 1
        assert len({one.body for one in receiver.got[:4]}) == 1
        assert len({one.headers["webhook-timestamp"] for one in receiver.got[:4]}) == 4
        (target,) = (await shown(admin, number))["targets"]
        assert (target["status"], target["waiting"], target["failures"], target["notice"]) == ("active", 0, 0, "")
        found = await deliveries(admin, number)
        assert [(one["tags"], one["status"], one["attempts"]) for one in found] == [
            (["c"], "Success", 1),
            (["b"], "Success", 1),
            (["a"], "Success", 4),
        ]


async def test_a_receiver_that_fails_for_too_long_is_switched_off_and_nothing_is_forgotten(
    naru: Naru, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver:
        receiver.always = 503
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "a")
        for _ in range(40):
            await settle(naru)
            naru.clock.advance(2 * HOUR)
        tries = len(receiver.got)
        assert 5 < tries < 20  # over a day
        found = await shown(admin, number)
        assert found["enabled"] is False
        (target,) = found["targets"]
        assert (target["status"], target["waiting"]) == ("suspended", 1)
        assert "answered with status 503" in target["notice"]
        (noted,) = await audit_rows(naru, "webhook.suspend")
        assert (noted["actor"], noted["resource"]) == ("naru", "team/webhooks/webhook-1")
        assert "switched off" in caplog.text
        assert "/hook" not in caplog.text  # paths of receivers may be secrets
        await make.image(naru.admin, "team/app", "b", seed="b")  # still told of
        await settle(naru)
        assert len(receiver.got) == tries
        assert [one["tags"] for one in await deliveries(admin, number, "?status=Pending")] == [["b"], ["a"]]
        # Switched on again: it goes on where it was.
        receiver.always = 200
        await admin.call("PUT", f"{POLICIES}/{number}", policy(receiver.url, events=["PUSH_ARTIFACT"]))
        await settle(naru)
        assert receiver.tags[tries:] == ["a", "b"]
        assert (await shown(admin, number))["enabled"] is True


async def test_an_event_that_its_receiver_refuses_does_not_hold_up_the_others(naru: Naru) -> None:
    async with receiving() as receiver:
        receiver.answers = [400, 422, 400]
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        for tag in "ab":
            await make.image(naru.admin, "team/app", tag, seed=tag)
        for _ in range(5):
            await settle(naru)
            naru.clock.advance(120)
        assert receiver.tags == ["a", "a", "a", "b"]
        found = await deliveries(admin, number)
        assert [(one["status"], one["http_status"]) for one in found] == [("Success", 200), ("Error", 400)]
        assert [one["tags"] for one in await deliveries(admin, number, "?status=Error")] == [["a"]]


async def test_a_receiver_may_ask_for_more_time(naru: Naru) -> None:
    async with receiving() as receiver:
        receiver.answers = [raw(429, b"", "Retry-After: 600")]
        await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "a")
        for seconds, expected in ((0, 1), (300, 1), (400, 2)):
            naru.clock.advance(seconds)
            await settle(naru)
            assert len(receiver.got) == expected


async def _stall(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def _gigabyte(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH\r\n")


@pytest.mark.options(**OPEN, webhook_timeout_seconds=1)
@pytest.mark.parametrize(
    ("answer", "arrives"), [(_stall, False), (_garbage, False), (_gigabyte, True)], ids=["stall", "garbage", "gigabyte"]
)
async def test_receivers_that_lie_or_stall_delay_nobody(
    naru: Naru, answer: Callable[[asyncio.StreamWriter], Awaitable[None]], arrives: bool
) -> None:
    async with receiving() as bad, receiving() as good:
        bad.always = answer
        admin, number = await hook(naru, bad.url, events=["PUSH_ARTIFACT"])
        await hook(naru, good.url, events=["PUSH_ARTIFACT"])
        began = asyncio.get_running_loop().time()
        for tag in "abc":
            await make.image(naru.admin, "team/app", tag, seed=tag)
        await naru.application.deliveries.round()
        while len(good.got) < 3:
            await asyncio.sleep(0.01)
            assert asyncio.get_running_loop().time() - began < 5
        assert good.tags == ["a", "b", "c"]
        await settle(naru)
        (target,) = (await shown(admin, number))["targets"]
        assert target["status"] == ("active" if arrives else "failing")
        found = await deliveries(admin, number)
        one = (await admin.call("GET", f"{POLICIES}/{number}/deliveries/{found[-1]['id']}"))["delivery"]
        (tried,) = one["tries"]
        if arrives:
            assert tried["response_body"] == "x" * 4096 + " [cut]"
        else:
            assert (tried["http_status"], tried["response_body"]) == (None, None)
            assert tried["error"]


async def test_an_address_inside_is_refused_at_the_door_and_at_each_try(naru: Naru) -> None:
    """A name whose answer changed, or an operator's network that is none any more."""
    async with receiving() as receiver:
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        naru.application.outbound._networks = ()
        await make.image(naru.admin, "team/app", "a")
        await settle(naru)
        assert receiver.got == []
        (target,) = (await shown(admin, number))["targets"]
        assert "may not be called" in target["notice"]
        assert await admin.refused("PUT", f"{POLICIES}/{number}", policy(receiver.url)) == 10001


async def test_a_certificate_that_nobody_vouches_for(naru: Naru, self_signed: ssl.SSLContext) -> None:
    """Nothing is sent to it, not even the secret, unless the webhook says so."""
    async with receiving(self_signed) as checked, receiving(self_signed) as skipped:
        admin, number = await hook(naru, checked.url, target={"auth_header": "Bearer x1234"})
        _, trusting = await hook(naru, skipped.url, target={"auth_header": "Bearer x1234", "skip_cert_verify": True})
        await make.image(naru.admin, "team/app", "1")
        await naru.application.deliveries.settle()
        assert (checked.got, skipped.tags) == ([], ["1"])
        assert skipped.got[0].headers["authorization"] == "Bearer x1234"
        (target,) = (await shown(admin, number))["targets"]
        assert (target["status"], "certificate" in target["notice"]) == ("failing", True)
        assert (await shown(admin, trusting))["targets"][0]["status"] == "active"
        (tested,) = (await admin.call("POST", f"{POLICIES}/{trusting}/test"))["deliveries"]
        assert tested["status"] == "Success"


async def test_a_redirect_to_the_inside_is_not_followed(naru: Naru) -> None:
    async with receiving() as inner, receiving() as receiver:
        receiver.answers = [raw(307, b"", f"Location: {inner.url}")]
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "a")
        await settle(naru)
        assert (len(receiver.got), len(inner.got)) == (1, 0)
        assert (await shown(admin, number))["targets"][0]["status"] == "failing"


async def test_a_lease_that_went_to_another_leaves_no_mark(naru: Naru) -> None:
    """Whoever comes back from a long pause after its lease was given away writes nothing over."""
    async with receiving() as receiver:
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        target = (await shown(admin, number))["targets"][0]["id"]

        async def steal(writer: asyncio.StreamWriter) -> None:
            until = naru.clock.now() + module.LEASE
            await naru.core.database.write(
                lambda tx: tx.exec_driver_sql(
                    f"UPDATE webhook_targets SET lease = 1, lease_until = {until} WHERE id = {target}"
                )
            )
            writer.write(raw(200))

        receiver.answers = [steal]
        await make.image(naru.admin, "team/app", "a")
        await settle(naru)
        assert [one["status"] for one in await deliveries(admin, number)] == ["Pending"]
        naru.clock.advance(200)  # the thief's lease ends
        await settle(naru)
        assert [one["status"] for one in await deliveries(admin, number)] == ["Success"]
        assert receiver.tags == ["a", "a"]
        assert receiver.got[0].id == receiver.got[1].id


async def test_many_stalled_receivers_leave_room_for_those_that_work(
    naru: Naru, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLACES", 8)
    async with receiving() as bad, receiving() as good:
        bad.always = 500
        await hook(naru, *(f"{bad.url}/{n}" for n in range(10)), events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "a")
        await settle(naru)
        bad.always = _stall
        naru.clock.advance(60)
        await hook(naru, good.url, events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "b", seed="b")
        await naru.application.deliveries.round()
        for _ in range(300):
            await asyncio.sleep(0.01)
            if good.got:
                break
        assert good.tags == ["b"]
        assert len(naru.application.deliveries._failing) == 4
