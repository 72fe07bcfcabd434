"""Deliveries of webhooks: what was sent, what came back; tests and redeliveries."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from naru.core.webhooks import Events, EventType, row_id
from naru.services.webhooks import Delivery, Filter, TryRow, event_id, sent_headers
from naru.web.api.access import Manager, Services, Viewer, find_registry
from naru.web.api.envelope import Envelope
from naru.web.api.fields import microseconds
from naru.web.api.paging import Numbers, tell_total
from naru.web.api.policies import id_of
from naru.web.api.registries import NameOrId
from naru.web.api.routing import PROJECT, Number, Router, Time
from naru.web.api.times import rfc3339
from naru.web.api.webhooks import POLICY, WebhookId

router = Router(PROJECT, tags=["webhooks"])

_DELIVERIES = POLICY + "/deliveries"
_ADDRESS = "https://hooks.example.com/naru"
_TIME = "2026-01-01T00:00:00.000Z"

DeliveryId = Annotated[str, Path(alias="deliveryId", max_length=32, description="Id of the delivery.", examples=["31"])]
Status = Literal["Pending", "Success", "Error"]


class WebhookDelivery(BaseModel):
    """One event for one target."""

    id: int = Field(description="Id of the delivery in this API.", examples=[31])
    delivery_id: str = Field(
        description="The header `X-Naru-Delivery`.", examples=["0b2f6c3e-1a52-5a3e-8b1e-0d7c1f6b2a11"]
    )
    event_id: str = Field(
        description="The header `webhook-id`: the same at each try and each redelivery.",
        examples=["4d9b5c1e-7f0a-5d43-9c55-2f1d8a3b6e70"],
    )
    event_type: str = Field(description="What happened.", examples=["PUSH_ARTIFACT"])
    resource: str = Field(description="The image, without its registry.", examples=["app"])
    digest: str = Field(description="The artifact.", examples=["sha256:" + "0" * 64])
    tags: list[str] = Field(description="Its tags.", examples=[["1.0"]])
    target_id: int = Field(description="Id of the target.", examples=[9])
    address: str = Field(description="Where it goes.", examples=[_ADDRESS])
    cause: str = Field(description="`EVENT`, `MANUAL` (a redelivery) or `TEST`.", examples=["EVENT"])
    status: Status = Field(description="`Pending` waits, or waits for the next try.", examples=["Success"])
    occurred_at: str = Field(description="When it happened, RFC 3339.", examples=[_TIME])
    creation_time: str = Field(description="When the delivery was made, RFC 3339.", examples=[_TIME])
    end_time: str = Field(description="When it ended, RFC 3339; empty: not yet.", examples=[_TIME])
    attempts: int = Field(description="Tries so far.", examples=[1])
    http_status: int | None = Field(description="Status of the last answer; null: none came.", examples=[200])
    error: str | None = Field(description="What was wrong when none came.", examples=[None])
    duration_ms: float | None = Field(description="Of the last try, in milliseconds.", examples=[12.5])


class WebhookRequest(BaseModel):
    """What is sent."""

    headers: dict[str, str] = Field(description="Headers; secrets are hidden.", examples=[{"webhook-id": "4d9b..."}])
    body: str = Field(description="The body.", examples=["{}"])


class WebhookTry(BaseModel):
    """One try."""

    number: int = Field(description="From 1 on.", examples=[1])
    time: str = Field(description="RFC 3339.", examples=[_TIME])
    duration_ms: float = Field(description="In milliseconds.", examples=[12.5])
    http_status: int | None = Field(description="Status of the answer; null: none came.", examples=[200])
    error: str | None = Field(description="What was wrong when none came.", examples=[None])
    response_headers: str | None = Field(description="Of the answer, cut.", examples=["Content-Length: 2"])
    response_body: str | None = Field(description="Of the answer, cut.", examples=["ok"])


class WebhookDeliveryDetail(WebhookDelivery):
    """One event for one target, with what was sent and came back."""

    request: WebhookRequest = Field(description="What is sent, the same at each try but for time and signature.")
    tries: list[WebhookTry] = Field(description="The tries, oldest first; of many, the first and the newest.")


class WebhookDeliveriesAnswer(Envelope):
    """A page of deliveries."""

    deliveries: list[WebhookDelivery] = Field(description="The deliveries, newest first.")


class WebhookDeliveryAnswer(Envelope):
    """A delivery."""

    delivery: WebhookDeliveryDetail = Field(description="The delivery.")


class WebhookTestAnswer(Envelope):
    """What became of a test."""

    deliveries: list[WebhookDeliveryDetail] = Field(description="One for each target.")


class WebhookRedeliveryAnswer(Envelope):
    """A redelivery."""

    delivery_id: int = Field(description="Id of the new delivery.", examples=[32])


def _fields(one: Delivery) -> dict[str, object]:
    return {
        "id": one.id,
        "delivery_id": row_id("delivery", one.id, one.created_at),
        "event_id": event_id(one),
        "event_type": one.event_type.names()[0],
        "resource": one.image,
        "digest": one.digest,
        "tags": list(one.tags),
        "target_id": one.target_id,
        "address": one.address,
        "cause": one.cause,
        "status": one.status,
        "occurred_at": rfc3339(one.event_at),
        "creation_time": rfc3339(one.created_at),
        "end_time": rfc3339(one.finished_at),
        "attempts": one.attempts,
        "http_status": one.http_status,
        "error": one.error,
        "duration_ms": None if one.duration is None else one.duration / 1000,
    }


def _detail(one: Delivery, tries: list[TryRow]) -> WebhookDeliveryDetail:
    return WebhookDeliveryDetail.model_validate(
        _fields(one)
        | {
            "request": WebhookRequest(headers=sent_headers(one), body=one.body.decode("utf-8", "replace")),
            "tries": [
                WebhookTry(
                    number=two.number,
                    time=rfc3339(two.at),
                    duration_ms=two.duration / 1000,
                    http_status=two.http_status,
                    error=two.error,
                    response_headers=two.headers,
                    response_body=two.answer,
                )
                for two in tries
            ],
        }
    )


def _filter(
    status: Annotated[Status | None, Query(description="`Pending`, `Success` or `Error`.")] = None,
    event_type: Annotated[EventType | None, Query(description="What happened.")] = None,
    target_id: Annotated[Number | None, Query(ge=1, le=2**63 - 1, description="Id of the target.")] = None,
    image: Annotated[str | None, Query(max_length=512, description="Name of the image, whole.")] = None,
    since: Annotated[
        Time | None, Query(alias="from", description="Made from this time on, RFC 3339 with a time zone.")
    ] = None,
    until: Annotated[
        Time | None, Query(alias="to", description="Made before this time, RFC 3339 with a time zone.")
    ] = None,
) -> Filter:
    return Filter(
        status=status,
        event_type=Events[event_type.name] if event_type else None,
        target_id=target_id,
        image=image or None,
        since=microseconds(since) if since else None,
        until=microseconds(until) if until else None,
    )


@router.get(_DELIVERIES, summary="List deliveries of a webhook")
async def list_webhook_deliveries(
    request: Request,
    response: Response,
    grant: Viewer,
    services: Services,
    name_or_id: NameOrId,
    policy_id: WebhookId,
    wanted: Annotated[Filter, Depends(_filter)],
    page: Numbers,
) -> WebhookDeliveriesAnswer:
    """The newest first. Those that ended longer than the server's `webhook_history_days` ago are removed; the total
    counts 10,000 at most."""
    facts = await find_registry(grant, services, request, name_or_id)
    number = id_of(policy_id, "webhook")
    found, total = await services.webhooks.deliveries(grant, facts, number, wanted, page.offset, page.limit)
    tell_total(request, response, page, total)
    return WebhookDeliveriesAnswer(deliveries=[WebhookDelivery.model_validate(_fields(one)) for one in found])


@router.get(_DELIVERIES + "/{deliveryId}", summary="Show a delivery of a webhook")
async def get_webhook_delivery(
    request: Request,
    grant: Viewer,
    services: Services,
    name_or_id: NameOrId,
    policy_id: WebhookId,
    delivery_id: DeliveryId,
) -> WebhookDeliveryAnswer:
    """What was sent and what came back, try by try. Secrets are shown as `*****`, also where the receiver sent them
    back."""
    facts = await find_registry(grant, services, request, name_or_id)
    number = id_of(policy_id, "webhook")
    found, tries = await services.webhooks.delivery(grant, facts, number, id_of(delivery_id, "delivery"))
    return WebhookDeliveryAnswer(delivery=_detail(found, tries))


@router.post(_DELIVERIES + "/{deliveryId}/redeliver", summary="Send a delivery of a webhook again")
async def redeliver_webhook(
    request: Request,
    grant: Manager,
    services: Services,
    name_or_id: NameOrId,
    policy_id: WebhookId,
    delivery_id: DeliveryId,
) -> WebhookRedeliveryAnswer:
    """The same event with the same `webhook-id`, behind what waits for the target. Refused while the delivery waits
    itself, and while the webhook is switched off."""
    facts = await find_registry(grant, services, request, name_or_id)
    number = id_of(policy_id, "webhook")
    made = await services.webhooks.redeliver(grant, facts, number, id_of(delivery_id, "delivery"))
    return WebhookRedeliveryAnswer(delivery_id=made)


@router.post(POLICY + "/test", summary="Test a webhook")
async def check_webhook(
    request: Request, grant: Manager, services: Services, name_or_id: NameOrId, policy_id: WebhookId
) -> WebhookTestAnswer:
    """Sends each target a made-up push of the image `naru-test` now, also when the webhook is switched off, and says
    what came back."""
    facts = await find_registry(grant, services, request, name_or_id)
    number = id_of(policy_id, "webhook")
    sent = await services.webhooks.test(grant, facts, number)
    found = [await services.webhooks.delivery(grant, facts, number, one) for one in sent]
    return WebhookTestAnswer(deliveries=[_detail(one, tries) for one, tries in found])
