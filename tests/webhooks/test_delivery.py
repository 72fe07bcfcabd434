"""From a push, pull or deletion to the receiver: what arrives, in which form, what is kept of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from typing import Any, cast

import pytest

from naru.core.permissions import Role
from naru.db.sqlite import SqliteDatabase
from tests import make
from tests.api.client import api
from tests.conftest import Naru
from tests.databases import sqlite_only
from tests.webhooks.receiver import OPEN, POLICIES, deliveries, hook, policy, raw, receiving, shown

pytestmark = pytest.mark.options(**OPEN)

HOUR = 3600


async def settle(naru: Naru) -> None:
    await naru.application.deliveries.settle()


def outbox(naru: Naru) -> int:
    return int(naru.rows("SELECT count(*) FROM webhook_events")[0][0])


async def test_a_push_a_pull_and_a_deletion(naru: Naru) -> None:
    async with receiving() as receiver:
        await hook(naru, receiver.url)
        image = await make.image(naru.admin, "team/web/app", "1.0")
        await naru.admin.get("/v2/team/web/app/manifests/1.0")
        await naru.admin.get(f"/v2/team/web/app/manifests/{image.digest}")
        await naru.admin.head("/v2/team/web/app/manifests/1.0")  # no pull
        await naru.admin.delete(f"/v2/team/web/app/manifests/{image.digest}")
        await settle(naru)
        assert [one.headers["x-naru-event"] for one in receiver.got] == [
            "PUSH_ARTIFACT",
            "PULL_ARTIFACT",
            "PULL_ARTIFACT",
            "DELETE_ARTIFACT",
        ]
        push, by_tag, by_digest, delete = (one.json() for one in receiver.got)
        assert push["type"] == "PUSH_ARTIFACT"
        assert push["operator"] == "admin"
        assert push["occur_at"] == naru.clock.now() // 1_000_000
        assert push["event_data"] == {
            "resources": [{"digest": image.digest, "tag": "1.0", "resource_url": "registry.test/team/web/app:1.0"}],
            "repository": {
                "date_created": naru.clock.now() // 1_000_000,
                "name": "web/app",
                "namespace": "team",
                "repo_full_name": "team/web/app",
                "repo_type": "private",
            },
        }
        assert by_tag["event_data"] == delete["event_data"] == push["event_data"]
        assert by_digest["event_data"]["resources"][0]["tag"] == image.digest
        assert len({one.id for one in receiver.got}) == 4
        assert {one.headers["content-type"] for one in receiver.got} == {"application/json"}


async def test_only_what_somebody_wants_is_written(naru: Naru) -> None:
    async with receiving() as receiver:
        await make.image(naru.admin, "team/app", "before")
        admin, number = await hook(naru, receiver.url, events=["DELETE_ARTIFACT"])
        image = await make.image(naru.admin, "team/app", "1")
        await naru.admin.get("/v2/team/app/manifests/1")
        assert outbox(naru) == 0
        await admin.call("PUT", f"{POLICIES}/{number}", policy(receiver.url, events=["PULL_ARTIFACT"]))
        await naru.admin.get("/v2/team/app/manifests/1")  # at once: what is known of registries is asked anew
        await naru.admin.delete(f"/v2/team/app/manifests/{image.digest}")
        assert outbox(naru) == 1
        await admin.call("PUT", f"{POLICIES}/{number}", policy(receiver.url) | {"enabled": False})
        await make.image(naru.admin, "team/app", "2", seed="2")
        await naru.registry("other")
        await make.image(naru.admin, "other/app", "2", seed="2")
        assert outbox(naru) == 1
        await admin.call("DELETE", f"{POLICIES}/{number}")
        await make.image(naru.admin, "team/app", "3", seed="3")
        assert outbox(naru) == 1


@sqlite_only("statements are counted by a hook of SQLite's driver")
async def test_what_webhooks_cost_a_push(naru: Naru) -> None:
    """One statement, however many there are: what each is sent is made later."""
    statements: list[str] = []
    driver: Any = cast(SqliteDatabase, naru.core.database)._connection.connection.driver_connection

    async def push(name: str) -> list[str]:
        driver.set_trace_callback(statements.append)
        await make.image(naru.admin, name, "1", seed=name)
        driver.set_trace_callback(None)
        found = [
            " ".join(one.split())[:40] for one in statements if not one.startswith(("BEGIN", "COMMIT", "SAVE", "REL"))
        ]
        statements.clear()
        return found

    async with receiving() as receiver:
        # What works in the background would add statements of its own.
        await naru.application.deliveries.aclose()
        await naru.registry("plain")
        admin, _number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        for _ in range(4):
            await admin.call("POST", POLICIES, policy(receiver.url, receiver.url + "/2", events=["PUSH_ARTIFACT"]))
        await naru.application._activity.aclose()  # counts are not written while pushes are watched
        plain, hooked = await push("plain/app"), await push("team/app")
        more = [one for one in hooked if one not in plain]
        assert more == ["INSERT INTO webhook_events (registry_id,"]
        assert len(hooked) == len(plain) + 1


async def test_a_push_that_is_refused_tells_nothing(naru: Naru) -> None:
    async with receiving() as receiver:
        await hook(naru, receiver.url)
        body = make.manifest_of(b"{}", [b"nothing"])
        answer = await naru.admin.put("/v2/team/app/manifests/1", body, {"content-type": make.OCI_MANIFEST})
        assert answer.status == 404
        assert (await naru.admin.get("/v2/team/app/manifests/1")).status == 404
        assert outbox(naru) == 0


async def test_a_deletion_is_of_the_root_alone(naru: Naru) -> None:
    async with receiving() as receiver:
        await hook(naru, receiver.url, events=["DELETE_ARTIFACT"])
        one = await make.image(naru.admin, "team/app", "one")
        two = await make.image(naru.admin, "team/app", "two", seed="2")
        await naru.admin.delete("/v2/team/app/manifests/two")  # the tag alone: the artifact stays
        index = make.index_of([one.manifest, two.manifest])
        digest = await make.manifest(naru.admin, "team/app", "all", index, make.OCI_INDEX)
        await naru.admin.delete("/v2/team/app/manifests/one")
        assert outbox(naru) == 0
        await naru.admin.delete(f"/v2/team/app/manifests/{digest}")  # and both children
        await settle(naru)
        (event,) = receiver.got
        assert [one["digest"] for one in event.json()["event_data"]["resources"]] == [digest]
        assert event.tag == "all"


async def test_an_image_that_goes_tells_of_each_artifact_that_lists_show(naru: Naru) -> None:
    async with receiving() as receiver:
        admin, _number = await hook(naru, receiver.url, events=["DELETE_ARTIFACT"])
        child = await make.image(naru.admin, "team/app", "child")
        await naru.admin.delete("/v2/team/app/manifests/child")
        index = make.index_of([child.manifest])
        await make.manifest(naru.admin, "team/app", "all", index, make.OCI_INDEX)
        await make.image(naru.admin, "team/app", "two", seed="2")
        await make.manifest(naru.admin, "team/app", "more", index, make.OCI_INDEX)
        await admin.call("DELETE", "/registries/team/images/app")
        await settle(naru)
        told = [[one["tag"] for one in event.json()["event_data"]["resources"]] for event in receiver.got]
        assert told == [["all", "more"], ["two"]]


async def test_a_tag_and_an_image_that_the_filters_take(naru: Naru) -> None:
    async with receiving() as receiver:
        filters = {"scope": {"include": True, "pattern": "web/**"}, "tag": {"include": False, "pattern": "tmp-*"}}
        await hook(naru, receiver.url, events=["PUSH_ARTIFACT"], **filters)
        for name, tag in (("web/app", "1"), ("web/app", "tmp-1"), ("api", "1"), ("web/api", "2")):
            await make.image(naru.admin, f"team/{name}", tag, seed=name + tag)
        await settle(naru)
        assert [(one.json()["event_data"]["repository"]["name"], one.tag) for one in receiver.got] == [
            ("web/app", "1"),
            ("web/api", "2"),
        ]


async def test_formats_headers_and_a_signature_that_can_be_verified(naru: Naru) -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    async with receiving() as plain, receiving() as cloud, receiving() as slack:
        admin, _number = await hook(naru, plain.url, target={"auth_header": "Bearer topsecret", "secret": secret})
        await hook(naru, cloud.url, target={"payload_format": "CloudEvents"})
        await hook(naru, slack.url, target={"type": "slack"})
        await make.image(naru.admin, "team/app", "1")
        await settle(naru)
        (got,) = plain.got
        assert got.headers["authorization"] == "Bearer topsecret"
        signed = f"{got.id}.{got.headers['webhook-timestamp']}.".encode() + got.body
        expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
        assert got.headers["webhook-signature"] == f"v1,{expected}"
        assert got.headers["user-agent"].startswith("naru/")
        assert got.headers["host"] == f"127.0.0.1:{plain.port}"
        (event,) = cloud.got
        assert event.headers["content-type"].startswith("application/cloudevents+json")
        assert event.json()["id"] == event.id == got.id  # one event, one id
        assert event.json()["data"] == got.json()["event_data"]
        assert "webhook-signature" not in event.headers
        assert "PUSH_ARTIFACT team/app:1" in slack.got[0].json()["text"]
        assert (await admin.call("GET", POLICIES))["policies"][0]["targets"][0]["secret"] == "*****"


# Secrets


async def test_secrets_rest_encrypted_and_come_back_nowhere(naru: Naru, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    header, secret = "Bearer my-very-secret-token", "a-signing-secret-of-ours"

    async def echo(writer: asyncio.StreamWriter) -> None:
        said = json.dumps({"you sent": receiver.got[-1].headers, "and": secret}).encode()
        writer.write(raw(500, said, f"X-Echo: {header}"))

    async with receiving() as receiver:
        receiver.always = echo
        admin, number = await hook(naru, receiver.url, target={"auth_header": header, "secret": secret})
        await make.image(naru.admin, "team/app", "a")
        await settle(naru)
        await admin.call("POST", f"{POLICIES}/{number}/test")
        assert receiver.got[0].headers["authorization"] == header
        found = await deliveries(admin, number)
        everything = caplog.text
        for path in (
            "",
            f"/{number}",
            f"/{number}/deliveries",
            *(f"/{number}/deliveries/{one['id']}" for one in found),
        ):
            everything += json.dumps(await admin.call("GET", POLICIES + path))
        everything += json.dumps((await admin.call("GET", "/audit-logs?page_size=100"))["audit_logs"])
        assert "*****" in everything
        detail = (await admin.call("GET", f"{POLICIES}/{number}/deliveries/{found[-1]['id']}"))["delivery"]
        assert detail["request"]["headers"]["Authorization"] == "*****"
        assert "*****" in detail["tries"][0]["response_headers"]
        everything += naru.dump()
        for hidden in ("my-very-secret-token", secret):
            assert hidden not in everything


# What is kept


@pytest.mark.options(**OPEN, webhook_history_days=2)
async def test_what_ended_is_removed_in_time_and_what_waits_later(naru: Naru) -> None:
    async with receiving() as receiver:
        receiver.answers = [200, 500]
        receiver.always = 500
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        for tag in "abc":
            await make.image(naru.admin, "team/app", tag, seed=tag)
        await settle(naru)
        assert len(await deliveries(admin, number)) == 3
        naru.clock.advance(2 * 24 * HOUR + 60)
        await naru.application.deliveries.prune()
        assert [one["tags"] for one in await deliveries(admin, number)] == [["c"], ["b"]]
        assert outbox(naru) == 2
        naru.clock.advance(29 * 24 * HOUR)
        await naru.application.deliveries.prune()
        assert await deliveries(admin, number) == []
        assert outbox(naru) == 0
        (target,) = (await shown(admin, number))["targets"]
        assert (target["waiting"], target["dropped"]) == (0, 2)


async def test_what_may_wait_is_bounded(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naru.db.webhooks.history.MAX_WAITING", 2)
    async with receiving() as receiver:
        receiver.always = 500
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        for tag in "abcde":
            await make.image(naru.admin, "team/app", tag, seed=tag)
        await settle(naru)
        await naru.application.deliveries.prune()
        assert [one["tags"] for one in await deliveries(admin, number)] == [["e"], ["d"]]
        (target,) = (await shown(admin, number))["targets"]
        assert (target["waiting"], target["dropped"]) == (2, 3)


async def test_who_may(naru: Naru) -> None:
    async with receiving() as receiver:
        admin, number = await hook(naru, receiver.url)
        await admin.call("POST", f"{POLICIES}/{number}/test")
        (made,) = await deliveries(admin, number)
        for role in (Role.SERVICE_VIEWER, Role.IMAGE_UPLOADER):
            other = await api(naru, await naru.client(role.value, role))
            for path in ("", f"/{number}", f"/{number}/deliveries", f"/{number}/deliveries/{made['id']}"):
                await other.call("GET", POLICIES + path)
            for method, path, body in (
                ("POST", "", policy(receiver.url)),
                ("PUT", f"/{number}", policy(receiver.url)),
                ("DELETE", f"/{number}", None),
                ("POST", f"/{number}/test", None),
                ("POST", f"/{number}/deliveries/{made['id']}/redeliver", None),
            ):
                assert await other.refused(method, POLICIES + path, body) == 10003, (role, method, path)
