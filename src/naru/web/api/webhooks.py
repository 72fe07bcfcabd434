"""Webhooks: whom a registry tells of pushes, pulls and deletions (NCR API guide, "웹훅").

What was delivered is in ``webhook_deliveries``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Request, Response
from pydantic import BaseModel, Field

from naru.core.patterns import Selector as PureSelector
from naru.core.permissions import ProjectGrant
from naru.core.webhooks import HIDDEN
from naru.services.webhooks import Target, WantedTarget, WantedWebhook, Webhook
from naru.web.api.access import Manager, Services, Transport, Viewer, find_registry
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.paging import Page, tell_total
from naru.web.api.policies import Selector, WantedSelector, id_of, selector
from naru.web.api.registries import NameOrId
from naru.web.api.routing import PROJECT, Router
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["webhooks"])

POLICIES = "/registries/{registryNameOrId}/webhook/policies"
POLICY = POLICIES + "/{policyId}"
_ADDRESS = "https://hooks.example.com/naru"
_TIME = "2026-01-01T00:00:00.000Z"

WebhookId = Annotated[str, Path(alias="policyId", max_length=32, description="Id of the webhook.", examples=["7"])]


class WebhookTarget(BaseModel):
    """Where events go, and how it does."""

    address: str = Field(description="URL that gets the events.", examples=[_ADDRESS])
    type: str = Field(description="`http` or `slack`.", examples=["http"])
    auth_header: str | None = Field(
        default=None, description="`*****` where there is one: its value is never shown.", examples=[HIDDEN]
    )
    skip_cert_verify: bool | None = Field(
        default=None, description="Do not check the certificate of the address.", examples=[False]
    )
    payload_format: str = Field(description="`Default` (Harbor's) or `CloudEvents`.", examples=["Default"])
    secret: str | None = Field(
        default=None, description="`*****` where events are signed: its value is never shown.", examples=[HIDDEN]
    )
    id: int = Field(description="Id of the target.", examples=[9])
    status: Literal["active", "failing", "suspended"] = Field(
        description="`failing`: the last try failed, the next follows; `suspended`: it failed for too long and was "
        "switched off; what waits is sent when the webhook is switched on again.",
        examples=["active"],
    )
    waiting: int = Field(description="Deliveries that wait.", examples=[0])
    dropped: int = Field(description="Deliveries that were given up, for they waited for too long.", examples=[0])
    failures: int = Field(description="Tries that failed in a row.", examples=[0])
    failing_since: str = Field(description="Since when, RFC 3339; empty: it works.", examples=[""])
    retry_at: str = Field(
        description="When the next try is due, RFC 3339; empty: nothing holds it back.", examples=[""]
    )
    notice: str = Field(description="What was wrong the last time.", examples=[""])


class WantedWebhookTarget(Body):
    """Where events shall go."""

    address: str = Field(max_length=2048, description="URL that gets the events.", examples=[_ADDRESS])
    type: str = Field(max_length=32, description="`http` or `slack`.", examples=["http"])
    auth_header: str | None = Field(
        default=None,
        max_length=4096,
        description="Value of the `Authorization` header; `*****` keeps the one that is there.",
        examples=["Bearer x"],
    )
    skip_cert_verify: bool | None = Field(
        default=None, description="Do not check the certificate of the address.", examples=[False]
    )
    payload_format: str | None = Field(
        default=None,
        max_length=32,
        description="`Default` (Harbor's) or `CloudEvents`. Absent: as it is, else `Default`.",
        examples=["Default"],
    )
    secret: str | None = Field(
        default=None,
        max_length=256,
        description="Signs what is sent (Standard Webhooks, HMAC-SHA256). Absent or `*****`: as it is; empty: none.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )


class WebhookPolicy(BaseModel):
    """Which events go where."""

    creation_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    enabled: bool = Field(
        description="Whether it is switched on; false as well when every target is suspended.", examples=[True]
    )
    event_types: list[str] = Field(description="What to tell of.", examples=[["PUSH_ARTIFACT"]])
    id: int = Field(description="Id of the webhook.", examples=[7])
    name: str = Field(description="Its name.", examples=["deploy"])
    project_id: int = Field(description="Id of the registry (NCR calls it so).", examples=[3])
    targets: list[WebhookTarget] = Field(description="Where events go.")
    update_time: str = Field(description="RFC 3339, UTC.", examples=[_TIME])
    scope: Selector = Field(description="Of which images; names without the registry.")
    tag: Selector = Field(description="Of which tags; what has no tag passes where every tag does.")


class WebhookPoliciesAnswer(Envelope):
    """A page of webhooks."""

    policies: list[WebhookPolicy] = Field(description="The webhooks, the oldest first.")


class WebhookPolicyAnswer(Envelope):
    """A webhook."""

    policy: WebhookPolicy = Field(description="The webhook.")


class WantedWebhookPolicy(Body):
    """Which events shall go where."""

    enabled: bool | None = Field(
        default=None,
        description="Whether it is switched on. Absent: as it is; a new one is off. On: targets that were suspended "
        "begin anew, with what waits for them.",
        examples=[True],
    )
    event_types: list[str] = Field(
        max_length=32,
        description="`PUSH_ARTIFACT`, `PULL_ARTIFACT`, `DELETE_ARTIFACT`.",
        examples=[["PUSH_ARTIFACT", "DELETE_ARTIFACT"]],
    )
    name: str | None = Field(
        default=None, max_length=255, description="Its name, one of a kind in the registry.", examples=["deploy"]
    )
    targets: list[WantedWebhookTarget] = Field(max_length=16, description="Where events shall go.")
    scope: WantedSelector | None = Field(default=None, description="Of which images. Absent: as it is, else all.")
    tag: WantedSelector | None = Field(default=None, description="Of which tags. Absent: as it is, else all.")


def _target(one: Target) -> WebhookTarget:
    status: Literal["active", "failing", "suspended"] = "failing" if one.failures else "active"
    return WebhookTarget(
        address=one.address,
        type=str(one.kind),
        auth_header=HIDDEN if one.auth_header else None,
        skip_cert_verify=one.skip_cert_verify,
        payload_format=str(one.payload_format),
        secret=HIDDEN if one.secret else None,
        id=one.id,
        status="suspended" if one.suspended_at is not None else status,
        waiting=one.waiting,
        dropped=one.dropped,
        failures=one.failures,
        failing_since=rfc3339(one.failing_since),
        retry_at=rfc3339(one.retry_at),
        notice=one.notice or "",
    )


def _policy(hook: Webhook) -> WebhookPolicy:
    works = any(one.suspended_at is None for one in hook.targets)
    return WebhookPolicy(
        creation_time=rfc3339(hook.created_at),
        enabled=hook.enabled and works,
        event_types=hook.events.names(),
        id=hook.id,
        name=hook.name,
        project_id=hook.registry_id,
        targets=[_target(one) for one in hook.targets],
        update_time=rfc3339(hook.updated_at),
        scope=Selector.shown(hook.scope),
        tag=Selector.shown(hook.tag),
    )


def _wanted(body: WantedWebhookPolicy) -> WantedWebhook:
    targets = [
        WantedTarget(
            address=one.address,
            kind=one.type,
            auth_header=one.auth_header,
            skip_cert_verify=one.skip_cert_verify,
            payload_format=one.payload_format,
            secret=one.secret,
        )
        for one in body.targets
    ]
    return WantedWebhook(
        event_types=body.event_types,
        targets=targets,
        name=body.name,
        enabled=body.enabled,
        scope=_selector(body.scope),
        tag=_selector(body.tag),
    )


def _selector(wanted: WantedSelector | None) -> PureSelector | None:
    return None if wanted is None else selector(wanted)


@router.get(POLICIES, summary="List webhooks")
async def list_webhooks(
    request: Request, response: Response, grant: Viewer, services: Services, name_or_id: NameOrId, page: Page
) -> WebhookPoliciesAnswer:
    """The webhooks of a registry, the oldest first; `q` is a part of the name. `sort`: `id`, `name`, `creation_time`,
    `update_time`."""
    facts = await find_registry(grant, services, request, name_or_id)
    found, total = await services.webhooks.page(grant, facts, page.asked)
    tell_total(request, response, page, total)
    return WebhookPoliciesAnswer(policies=[_policy(one) for one in found])


@router.get(POLICY, summary="Show a webhook")
async def get_webhook(
    request: Request, grant: Viewer, services: Services, name_or_id: NameOrId, policy_id: WebhookId
) -> WebhookPolicyAnswer:
    """One webhook of a registry. Secrets are shown as `*****`."""
    facts = await find_registry(grant, services, request, name_or_id)
    return WebhookPolicyAnswer(policy=_policy(await services.webhooks.view(grant, facts, id_of(policy_id, "webhook"))))


@router.post(POLICIES, summary="Create a webhook")
async def create_webhook(
    request: Request,
    grant: Manager,
    services: Services,
    transport: Transport,
    name_or_id: NameOrId,
    wanted: WantedWebhookPolicy,
) -> Envelope:
    """The addresses hear of what happens from now on, once it is `enabled`. An address that may not be called is
    refused."""
    facts = await find_registry(grant, services, request, name_or_id)
    await services.webhooks.create(grant, facts, _wanted(wanted), _host(grant, services, transport))
    return Envelope()


@router.put(POLICY, summary="Change a webhook")
async def change_webhook(
    request: Request,
    grant: Manager,
    services: Services,
    transport: Transport,
    name_or_id: NameOrId,
    policy_id: WebhookId,
    wanted: WantedWebhookPolicy,
) -> Envelope:
    """Switch it on or off, or give it other events and addresses. An address that stays keeps what waits for it."""
    facts = await find_registry(grant, services, request, name_or_id)
    host = _host(grant, services, transport)
    await services.webhooks.change(grant, facts, id_of(policy_id, "webhook"), _wanted(wanted), host)
    return Envelope()


@router.delete(POLICY, summary="Delete a webhook")
async def delete_webhook(
    request: Request, grant: Manager, services: Services, name_or_id: NameOrId, policy_id: WebhookId
) -> Envelope:
    """Its addresses hear nothing more; what waits for them goes, and its history."""
    facts = await find_registry(grant, services, request, name_or_id)
    await services.webhooks.delete(grant, facts, id_of(policy_id, "webhook"))
    return Envelope()


def _host(grant: ProjectGrant, services: Services, transport: Transport) -> str:
    """The registry's address in payloads: as whoever makes or changes the webhook knows it."""
    return services.addresses.registry_host(transport, "public", grant.project)
