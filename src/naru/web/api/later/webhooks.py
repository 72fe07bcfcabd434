"""Webhooks: whom a registry tells of pushes, pulls and deletions (NCR API guide, "웹훅")."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from naru.web.api.access import Manager, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.later.shared import TIME, PolicyId, RegistryNameOrId, not_yet
from naru.web.api.paging import Page

router = APIRouter(tags=["webhooks"])

_POLICIES = "/registries/{registryNameOrId}/webhook/policies"
_WHAT = "webhooks"
_ADDRESS = "https://hooks.example.com/naru"


class WebhookTarget(BaseModel):
    """Where events go."""

    address: str = Field(description="URL that gets the events.", examples=[_ADDRESS])
    type: str = Field(description="`http` or `slack`.", examples=["http"])
    auth_header: str | None = Field(
        default=None, description="Value of the `Authorization` header.", examples=["Bearer x"]
    )
    skip_cert_verify: bool | None = Field(
        default=None, description="Do not check the certificate of the address.", examples=[False]
    )


class WantedWebhookTarget(BaseModel):
    """Where events shall go."""

    address: str = Field(max_length=2048, description="URL that gets the events.", examples=[_ADDRESS])
    type: str = Field(max_length=32, description="`http` or `slack`.", examples=["http"])
    auth_header: str | None = Field(
        default=None, max_length=4096, description="Value of the `Authorization` header.", examples=["Bearer x"]
    )
    skip_cert_verify: bool | None = Field(
        default=None, description="Do not check the certificate of the address.", examples=[False]
    )


class WebhookPolicy(BaseModel):
    """Which events go where."""

    creation_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])
    enabled: bool = Field(description="Whether it is switched on.", examples=[True])
    event_types: list[str] = Field(description="What to tell of.", examples=[["PUSH_ARTIFACT"]])
    id: int = Field(description="Id of the webhook.", examples=[7])
    name: str = Field(description="Its name.", examples=["deploy"])
    project_id: int = Field(description="Id of the registry (NCR calls it so).", examples=[3])
    targets: list[WebhookTarget] = Field(description="Where events go.")
    update_time: str = Field(description="RFC 3339, UTC.", examples=[TIME])


class WebhookPoliciesAnswer(Envelope):
    """A page of webhooks."""

    policies: list[WebhookPolicy] = Field(description="The webhooks.")


class WebhookPolicyAnswer(Envelope):
    """A webhook."""

    policy: WebhookPolicy = Field(description="The webhook.")


class WantedWebhookPolicy(BaseModel):
    """Which events shall go where."""

    enabled: bool | None = Field(default=None, description="Whether it is switched on.", examples=[True])
    event_types: list[str] = Field(
        max_length=32,
        description="`PUSH_ARTIFACT`, `PULL_ARTIFACT`, `DELETE_ARTIFACT`.",
        examples=[["PUSH_ARTIFACT", "DELETE_ARTIFACT"]],
    )
    name: str | None = Field(default=None, max_length=255, description="Its name.", examples=["deploy"])
    targets: list[WantedWebhookTarget] = Field(max_length=16, description="Where events shall go.")


@router.get(_POLICIES, summary="List webhooks")
async def list_webhooks(_grant: Viewer, registry: RegistryNameOrId, _page: Page) -> WebhookPoliciesAnswer:
    """The webhooks of a registry."""
    raise not_yet(_WHAT)


@router.get(_POLICIES + "/{policyId}", summary="Show a webhook")
async def get_webhook(_grant: Viewer, registry: RegistryNameOrId, policy_id: PolicyId) -> WebhookPolicyAnswer:
    """One webhook of a registry."""
    raise not_yet(_WHAT)


@router.post(_POLICIES, summary="Create a webhook")
async def create_webhook(_grant: Manager, registry: RegistryNameOrId, wanted: WantedWebhookPolicy) -> Envelope:
    """The address hears of what happens from now on."""
    raise not_yet(_WHAT)


@router.put(_POLICIES + "/{policyId}", summary="Change a webhook")
async def change_webhook(
    _grant: Manager, registry: RegistryNameOrId, policy_id: PolicyId, wanted: WantedWebhookPolicy
) -> Envelope:
    """Switch it on or off, or give it other events and addresses."""
    raise not_yet(_WHAT)


@router.delete(_POLICIES + "/{policyId}", summary="Delete a webhook")
async def delete_webhook(_grant: Manager, registry: RegistryNameOrId, policy_id: PolicyId) -> Envelope:
    """Its addresses hear nothing more."""
    raise not_yet(_WHAT)
