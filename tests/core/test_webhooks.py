"""Payloads, signatures, filters and tries: pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from naru.core import webhooks
from naru.core.errors import BadRequest
from naru.core.patterns import Selector
from naru.core.webhooks import Event, Events, EventType, PayloadFormat, TargetKind, Verdict

DIGEST = "sha256:" + "a" * 64
PUSH = Event(
    id="5f0c9a5e-0000-5000-8000-000000000001",
    type=EventType.PUSH,
    at=1_735_689_600_123_456,
    actor="alice",
    registry_id=3,
    registry="team",
    image="web/app",
    digest=DIGEST,
    tags=("v1", "latest"),
    image_created_at=1_735_600_000_000_000,
    public=False,
    host="registry.example.com",
    request_id="r1",
)
EVENT_DATA = {
    "resources": [
        {"digest": DIGEST, "tag": "v1", "resource_url": "registry.example.com/team/web/app:v1"},
        {"digest": DIGEST, "tag": "latest", "resource_url": "registry.example.com/team/web/app:latest"},
    ],
    "repository": {
        "date_created": 1_735_600_000,
        "name": "web/app",
        "namespace": "team",
        "repo_full_name": "team/web/app",
        "repo_type": "private",
    },
}


def sent(event: Event, kind: TargetKind = TargetKind.HTTP, form: PayloadFormat = PayloadFormat.DEFAULT) -> object:
    return json.loads(webhooks.message(event, kind, form, 7).body)


def test_the_default_is_harbors() -> None:
    assert sent(PUSH) == {
        "type": "PUSH_ARTIFACT",
        "occur_at": 1_735_689_600,
        "operator": "alice",
        "event_data": EVENT_DATA,
    }


def test_without_a_tag_stands_the_digest() -> None:
    document = sent(replace(PUSH, tags=(), type=EventType.DELETE, public=True))
    assert isinstance(document, dict)
    assert document["event_data"]["resources"] == [
        {"digest": DIGEST, "tag": DIGEST, "resource_url": f"registry.example.com/team/web/app@{DIGEST}"}
    ]
    assert document["event_data"]["repository"]["repo_type"] == "public"


@pytest.mark.parametrize(
    ("kind", "name"),
    [(EventType.PUSH, "pushed"), (EventType.PULL, "pulled"), (EventType.DELETE, "deleted")],
)
def test_cloud_events(kind: EventType, name: str) -> None:
    event = replace(PUSH, type=kind)
    made = webhooks.message(event, TargetKind.HTTP, PayloadFormat.CLOUD_EVENTS, 7)
    assert made.content_type.startswith("application/cloudevents+json")
    assert json.loads(made.body) == {
        "specversion": "1.0",
        "id": PUSH.id,
        "source": "/projects/3/webhook/policies/7",
        "type": f"harbor.artifact.{name}",
        "datacontenttype": "application/json",
        "time": "2025-01-01T00:00:00Z",
        "data": EVENT_DATA,
        "operator": "alice",
        "requestid": "r1",
    }
    without = json.loads(
        webhooks.message(replace(event, request_id=""), TargetKind.HTTP, PayloadFormat.CLOUD_EVENTS, 7).body
    )
    assert "requestid" not in without  # CloudEvents: an extension is not empty


def test_slack_takes_it_and_no_name_calls_a_channel() -> None:
    event = replace(PUSH, actor="<!channel> & `x`", tags=tuple(f"tag-{n}" for n in range(100)))
    document = sent(event, TargetKind.SLACK)
    assert isinstance(document, dict)
    assert set(document) == {"text", "blocks"}
    assert len(document["blocks"]) <= 50
    text = json.dumps(document)
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; &amp; 'x'" in text
    assert "<!date^1735689600^" in text
    for block in document["blocks"]:
        assert (block["type"], block["text"]["type"]) == ("section", "mrkdwn")
        assert 0 < len(block["text"]["text"]) <= 3000
    # The format of payloads is none of Slack's.
    assert sent(event, TargetKind.SLACK, PayloadFormat.CLOUD_EVENTS) == document


EVERY, RELEASES = Selector(True, "**"), Selector(True, "v*")
FILTERS: list[tuple[str, tuple[str, ...], Selector, Selector, tuple[str, ...] | None]] = [
    ("app", ("v1",), EVERY, EVERY, ("v1",)),
    ("app", (), EVERY, EVERY, ()),
    ("app", ("v1", "latest"), EVERY, RELEASES, ("v1",)),
    ("app", ("latest",), EVERY, RELEASES, None),
    ("app", (), EVERY, RELEASES, None),
    ("app", ("v1",), Selector(True, "web/**"), EVERY, None),
    ("web/app", ("v1",), Selector(True, "web/**"), EVERY, ("v1",)),
    ("web/app", ("v1",), Selector(False, "web/**"), EVERY, None),
    ("app", ("v1", "b"), EVERY, Selector(False, "v*"), ("b",)),
    ("app", (), EVERY, Selector(False, "v*"), None),
]


@pytest.mark.parametrize(("image", "tags", "scope", "tag", "expected"), FILTERS)
def test_filters(
    image: str, tags: tuple[str, ...], scope: Selector, tag: Selector, expected: tuple[str, ...] | None
) -> None:
    found = webhooks.filtered(replace(PUSH, image=image, tags=tags), scope, tag)
    assert (found.tags if found else None) == expected


def test_a_signature_as_standard_webhooks_has_it() -> None:
    """The example of the specification's own text and libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = webhooks.signature(webhooks.signing_key(secret), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_in_words() -> None:
    headers = webhooks.headers(
        event_id="e1",
        event_type="PUSH_ARTIFACT",
        delivery_id="d1",
        content_type="application/json",
        timestamp=1_700_000_000,
        body=b"{}",
        authorization="Bearer x",
        secret="correct horse",
    )
    expected = base64.b64encode(hmac.new(b"correct horse", b"e1.1700000000.{}", hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["Authorization"] == "Bearer x"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("e1", "1700000000")


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!", "whsec_abc"])
def test_secrets_that_are_none(secret: str) -> None:
    with pytest.raises(BadRequest):
        webhooks.signing_key(secret)


def test_event_types() -> None:
    assert Events.of(["PUSH_ARTIFACT", "DELETE_ARTIFACT"]).names() == ["PUSH_ARTIFACT", "DELETE_ARTIFACT"]
    for wrong in ([], ["push"], ["PUSH"], ["PUSH_ARTIFACT", "SCANNING_COMPLETED"]):
        with pytest.raises(BadRequest):
            Events.of(wrong)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Verdict.DELIVERED) for status in (200, 201, 202, 204, 299)),
        *((status, Verdict.REFUSED) for status in (400, 413, 415, 422)),
        *((status, Verdict.FAILED) for status in (None, 100, 301, 302, 307, 401, 403, 404, 408, 410, 429, 500, 503)),
    ],
)
def test_verdicts(status: int | None, expected: Verdict) -> None:
    assert webhooks.verdict(status) is expected


def test_waits_grow_to_hours_and_end() -> None:
    waits = [webhooks.delay(failures, 0.0) // 1_000_000 for failures in range(1, 10)]
    assert waits == [10, 30, 90, 270, 810, 2430, 7290, 14400, 14400]
    assert sum(waits) > 10 * 3600
    assert webhooks.delay(10**9, 1.0) == int(14400 * 1.1) * 1_000_000
    for asked, seconds in (("60", 60), ("5", 10), ("999999", 3600), ("-1", 10), ("x", 10), ("Wed, 21 Oct", 10)):
        assert webhooks.delay(1, 0.0, asked) == seconds * 1_000_000


def test_ids_stay() -> None:
    assert webhooks.row_id("event", 1, 5) == webhooks.row_id("event", 1, 5)
    made = {webhooks.row_id(kind, number, at) for kind in ("event", "delivery") for number in (1, 2) for at in (1, 2)}
    assert len(made) == 8


def test_secrets_that_come_back() -> None:
    text = webhooks.without_secrets(
        "Authorization: Bearer abcdef; token=abcdef; hmac-key", ("Bearer abcdef", "hmac-key", None)
    )
    assert text == "Authorization: *****; token=*****; *****"
