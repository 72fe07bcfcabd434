"""Webhooks by the public API: their life, what is refused, tests, history and redelivery."""

from __future__ import annotations

from typing import Any

import pytest

from naru.services.webhooks import policies
from tests import make
from tests.api.client import api, audit_rows
from tests.conftest import Naru
from tests.webhooks.receiver import OPEN, POLICIES, deliveries, hook, policy, raw, receiving, shown

PUBLIC = "https://hooks.example.com/services/T0/B0?x=1"


async def test_a_webhook_lives_by_the_api_alone(naru: Naru) -> None:
    admin = await api(naru)
    assert (await admin.call("GET", POLICIES))["policies"] == []
    target = {"address": PUBLIC, "type": "http", "auth_header": "Bearer x", "skip_cert_verify": True}
    await admin.call("POST", POLICIES, {"event_types": ["PUSH_ARTIFACT"], "targets": [target], "name": "deploy"})
    (made,) = (await admin.call("GET", POLICIES))["policies"]
    assert (made["name"], made["enabled"], made["event_types"]) == ("deploy", False, ["PUSH_ARTIFACT"])
    (first,) = made["targets"]
    assert (first["address"], first["type"], first["auth_header"], first["skip_cert_verify"]) == (
        PUBLIC,
        "http",
        "*****",
        True,
    )
    assert (first["payload_format"], first["secret"], first["status"]) == ("Default", None, "active")
    assert made["scope"] == made["tag"] == {"include": True, "pattern": "**"}
    naru.clock.advance(5)
    change = policy(PUBLIC, events=["DELETE_ARTIFACT", "PULL_ARTIFACT"], name="other")
    await admin.call("PUT", f"{POLICIES}/{made['id']}", change)
    after = await shown(admin, made["id"])
    assert (after["name"], after["enabled"]) == ("other", True)
    assert after["event_types"] == ["PULL_ARTIFACT", "DELETE_ARTIFACT"]
    assert after["targets"][0]["auth_header"] is None  # as the published PUT: the whole target
    assert after["targets"][0]["id"] == first["id"]
    assert after["creation_time"] == made["creation_time"] < after["update_time"]
    await admin.call("DELETE", f"{POLICIES}/{made['id']}")
    assert await admin.refused("GET", f"{POLICIES}/{made['id']}") == 10004
    assert await admin.refused("DELETE", f"{POLICIES}/{made['id']}") == 10004
    (created,) = await audit_rows(naru, "webhook.create")
    assert created["resource"] == "team/webhooks/deploy"
    assert created["detail"]["targets"] == ["https://hooks.example.com"]  # no path: it may be a secret
    assert len(await audit_rows(naru, "webhook.update")) == len(await audit_rows(naru, "webhook.delete")) == 1


async def test_names_pages_and_limits(naru: Naru, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await api(naru)
    monkeypatch.setattr(policies, "MAX_WEBHOOKS", 3)
    for name in (None, "webhook-3", None):
        await admin.call("POST", POLICIES, policy(PUBLIC) | ({"name": name} if name else {}))
    found = await admin.send("GET", POLICIES + "?page_size=2&page=1")
    assert [one["name"] for one in found.json()["policies"]] == ["webhook-1", "webhook-3"]
    assert found.headers["x-total-count"] == "3"
    assert [one["name"] for one in (await admin.call("GET", POLICIES + "?q=hook-2"))["policies"]] == ["webhook-2"]
    assert await admin.refused("POST", POLICIES, policy(PUBLIC)) == 10013
    first = (await admin.call("GET", POLICIES))["policies"][0]["id"]
    assert await admin.refused("PUT", f"{POLICIES}/{first}", policy(PUBLIC, name="webhook-2")) == 10005
    await admin.call("DELETE", f"{POLICIES}/{first}")
    assert await admin.refused("POST", POLICIES, policy(PUBLIC, name="webhook-2")) == 10005


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("no events", {"event_types": []}),
    ("unknown event", {"event_types": ["SCANNING_COMPLETED"]}),
    ("no targets", {"targets": []}),
    ("too many targets", {"targets": [{"type": "http", "address": PUBLIC}] * 17}),
    ("empty name", {"name": "  "}),
    ("name with a line break", {"name": "a\nb"}),
    ("pattern", {"scope": {"pattern": "[a"}}),
    ("tag pattern", {"tag": {"pattern": "{a"}}),
    *(
        (f"target {target}", {"targets": [{"type": "http", "address": PUBLIC, **target}]})
        for target in (
            {"type": "teams"},
            {"type": "HTTP"},
            {"payload_format": "Fancy"},
            {"auth_header": "Bearer x\r\nX-Evil: 1"},
            {"auth_header": "*****"},
            {"auth_header": "Bearer \u00e9"},
            {"secret": "short"},
            {"secret": "*****"},
            {"secret": "whsec_!!!!!!!!"},
            {"address": "hooks.example.com"},
            {"address": "ftp://hooks.example.com/"},
            {"address": "https://user:password@hooks.example.com/"},
            {"address": "https://hooks.example.com:22/"},
            {"address": "https://hooks.example.com:8443/"},
            {"address": "http://127.0.0.1/"},
            {"address": "http://localhost\\@hooks.example.com/"},
            {"address": "http://0x7f.1/"},
            {"address": "http://2130706433/"},
            {"address": "http://[::ffff:169.254.169.254]/"},
            {"address": "http://169.254.169.254/latest/meta-data/"},
            {"address": "http://10.1.2.3/"},
            {"address": "https://hooks.example.com/" + "a" * 2040},
        )
    ),
]


@pytest.mark.parametrize(("name", "change"), REFUSED, ids=[name for name, _ in REFUSED])
async def test_what_is_refused(naru: Naru, name: str, change: dict[str, Any]) -> None:
    admin = await api(naru)
    assert await admin.refused("POST", POLICIES, policy(PUBLIC) | change) == 10001
    await admin.call("POST", POLICIES, policy(PUBLIC))
    (made,) = (await admin.call("GET", POLICIES))["policies"]
    assert await admin.refused("PUT", f"{POLICIES}/{made['id']}", policy(PUBLIC) | change) == 10001
    assert (await admin.call("GET", POLICIES))["policies"] == [made]


async def test_an_answer_to_a_wrong_body_repeats_no_secret(naru: Naru) -> None:
    admin = await api(naru)
    target = {"type": "http", "address": PUBLIC, "auth_header": ["Bearer secret-thing"], "secret": 5}
    answer = await admin.document("POST", POLICIES, policy() | {"targets": [target]})
    assert answer["header"]["resultCode"] == 10001
    target = {"type": "http", "address": PUBLIC, "auth_header": "secret-thing" * 400}
    text = str(answer) + str(await admin.document("POST", POLICIES, policy() | {"targets": [target]}))
    assert "secret-thing" not in text


async def test_webhooks_of_another_registry_are_not_there(naru: Naru) -> None:
    admin, number = await hook(naru, PUBLIC)
    await naru.registry("other")
    path = f"/registries/other/webhook/policies/{number}"
    for method, below, body in (
        ("GET", "", None),
        ("PUT", "", policy(PUBLIC)),
        ("DELETE", "", None),
        ("GET", "/deliveries", None),
        ("POST", "/test", None),
    ):
        assert await admin.refused(method, path + below, body) == 10004, (method, below)
    assert (await admin.call("GET", "/registries/other/webhook/policies"))["policies"] == []
    for wrong in ("x", "0", "9" * 30, "-1"):
        assert await admin.refused("GET", f"{POLICIES}/{wrong}") == 10004


@pytest.mark.options(**OPEN)
async def test_what_was_hidden_may_be_sent_back_to_the_same_place_only(naru: Naru) -> None:
    """Nobody learns a secret by having it sent elsewhere."""
    async with receiving() as receiver, receiving() as thief:
        target = {"auth_header": "Bearer x1234", "secret": "a-good-secret"}
        admin, number = await hook(naru, receiver.url, target=target, events=["PUSH_ARTIFACT"])
        hidden = {"auth_header": "*****", "secret": "*****"}
        elsewhere = policy(thief.url, target=hidden)
        assert await admin.refused("PUT", f"{POLICIES}/{number}", elsewhere) == 10001
        moved = policy(receiver.url + "/moved", target=hidden, events=["PUSH_ARTIFACT"])
        await admin.call("PUT", f"{POLICIES}/{number}", moved)
        await make.image(naru.admin, "team/app", "1")
        await naru.application.deliveries.settle()
        (got,) = receiver.got
        assert got.headers["authorization"] == "Bearer x1234"
        assert "webhook-signature" in got.headers
        # To another place without them: it goes on, and has none.
        await admin.call("PUT", f"{POLICIES}/{number}", policy(thief.url, events=["PUSH_ARTIFACT"]))
        await make.image(naru.admin, "team/app", "2", seed="2")
        await naru.application.deliveries.settle()
        (got,) = thief.got
        assert "authorization" not in got.headers
        assert "webhook-signature" not in got.headers


@pytest.mark.options(**OPEN)
async def test_targets_that_stay_keep_what_waits(naru: Naru) -> None:
    async with receiving() as one, receiving() as two, receiving() as three:
        one.always = two.always = 500
        admin, number = await hook(naru, one.url, two.url, events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "1")
        await naru.application.deliveries.settle()
        one.always = 200
        await admin.call("PUT", f"{POLICIES}/{number}", policy(three.url, one.url, events=["PUSH_ARTIFACT"]))
        await naru.application.deliveries.settle()
        assert (one.tags, two.tags, three.tags) == (["1", "1"], ["1"], [])
        assert [target["address"] for target in (await shown(admin, number))["targets"]] == [three.url, one.url]
        await make.image(naru.admin, "team/app", "2", seed="2")
        await naru.application.deliveries.settle()
        assert (one.tags, two.tags, three.tags) == (["1", "1", "2"], ["1"], ["2"])


@pytest.mark.options(**OPEN)
async def test_switched_off_waits_and_switched_on_goes_on(naru: Naru) -> None:
    async with receiving() as receiver:
        receiver.always = 500
        admin, number = await hook(naru, receiver.url, events=["PUSH_ARTIFACT"])
        await make.image(naru.admin, "team/app", "1")
        await naru.application.deliveries.settle()
        await admin.call(
            "PUT", f"{POLICIES}/{number}", policy(receiver.url, events=["PUSH_ARTIFACT"]) | {"enabled": False}
        )
        receiver.always = 200
        naru.clock.advance(3600)
        await make.image(naru.admin, "team/app", "2", seed="2")  # nobody hears of it
        await naru.application.deliveries.settle()
        assert receiver.tags == ["1"]
        (made,) = await deliveries(admin, number)
        assert await admin.refused("POST", f"{POLICIES}/{number}/deliveries/{made['id']}/redeliver") == 10005
        await admin.call("PUT", f"{POLICIES}/{number}", policy(receiver.url, events=["PUSH_ARTIFACT"]))
        await naru.application.deliveries.settle()
        assert receiver.tags == ["1", "1"]


@pytest.mark.options(**OPEN)
async def test_a_test_says_what_came_back(naru: Naru) -> None:
    async with receiving() as good, receiving() as bad:
        good.always, bad.always = raw(202, b"thanks", "X-Served-By: one"), raw(500, b"oh no")
        admin, number = await hook(naru, good.url, bad.url, target={"auth_header": "Bearer x1234"})
        await admin.call("PUT", f"{POLICIES}/{number}", policy(good.url, bad.url) | {"enabled": False})
        well, badly = (await admin.call("POST", f"{POLICIES}/{number}/test"))["deliveries"]
        assert (well["status"], well["http_status"], well["cause"]) == ("Success", 202, "TEST")
        assert well["duration_ms"] > 0
        (tried,) = well["tries"]
        assert tried["response_body"] == "thanks"
        assert "X-Served-By: one" in tried["response_headers"]
        assert well["request"]["body"] == good.got[0].body.decode()
        assert well["request"]["headers"]["webhook-id"] == good.got[0].id
        assert good.got[0].json()["event_data"]["resources"][0]["resource_url"] == "registry.test/team/naru-test:test"
        assert (badly["status"], badly["http_status"]) == ("Error", 500)
        (target,) = [one for one in (await shown(admin, number))["targets"] if one["address"] == bad.url]
        assert (target["status"], target["waiting"]) == ("active", 0)  # a test is none of the lane's
        assert len(await audit_rows(naru, "webhook.test")) == 1


@pytest.mark.options(**OPEN)
async def test_history_with_filters_and_pages_and_redelivery(naru: Naru) -> None:
    async with receiving() as receiver:
        receiver.answers = [200, 400, 400, 400]
        admin, number = await hook(naru, receiver.url)
        for name in ("app", "api"):
            await make.image(naru.admin, f"team/{name}", "1", seed=name)
            naru.clock.advance(60)
        await naru.admin.get("/v2/team/app/manifests/1")
        for _ in range(5):
            await naru.application.deliveries.settle()
            naru.clock.advance(60)
        everything = await deliveries(admin, number)
        assert [(one["event_type"], one["resource"], one["status"], one["attempts"]) for one in everything] == [
            ("PULL_ARTIFACT", "app", "Success", 1),
            ("PUSH_ARTIFACT", "api", "Error", 3),
            ("PUSH_ARTIFACT", "app", "Success", 1),
        ]
        ids = [one["id"] for one in everything]
        target = everything[0]["target_id"]
        start = everything[2]["creation_time"]
        for query, expected in (
            ("?status=Error", ids[1:2]),
            ("?status=Pending", []),
            ("?event_type=PUSH_ARTIFACT", ids[1:]),
            ("?image=app&status=Success", [ids[0], ids[2]]),
            (f"?target_id={target}&page_size=2", ids[:2]),
            (f"?target_id={target}&page_size=2&page=2", ids[2:]),
            (f"?target_id={target + 1}", []),
            (f"?to={start}", []),
            (f"?from={start}", ids),
        ):
            assert [one["id"] for one in await deliveries(admin, number, query)] == expected, query
        page = await admin.send("GET", f"{POLICIES}/{number}/deliveries?page_size=1")
        assert page.headers["x-total-count"] == "3"
        for wrong in ("?status=x", "?event_type=PUSH", "?target_id=0", "?from=yesterday", "?page_size=1000"):
            assert await admin.refused("GET", f"{POLICIES}/{number}/deliveries{wrong}") == 10001, wrong
        detail = (await admin.call("GET", f"{POLICIES}/{number}/deliveries/{ids[1]}"))["delivery"]
        assert [one["http_status"] for one in detail["tries"]] == [400, 400, 400]
        # Again: another delivery of the same event.
        again = (await admin.call("POST", f"{POLICIES}/{number}/deliveries/{ids[1]}/redeliver"))["delivery_id"]
        await naru.application.deliveries.settle()
        assert receiver.got[-1].id == detail["event_id"]
        assert receiver.got[-1].headers["x-naru-delivery"] != detail["delivery_id"]
        assert receiver.got[-1].body.decode() == detail["request"]["body"]
        found = (await admin.call("GET", f"{POLICIES}/{number}/deliveries/{again}"))["delivery"]
        assert (found["cause"], found["status"]) == ("MANUAL", "Success")
        assert await admin.refused("POST", f"{POLICIES}/{number}/deliveries/999999/redeliver") == 10004
        assert len(await audit_rows(naru, "webhook.redeliver")) == 1
