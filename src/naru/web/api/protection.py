"""Protection of images: policies for tags that nobody may move or delete (NCR API guide, "이미지 보호")."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import BaseModel, Field

from naru.services.protection import KeptRule, Wanted
from naru.web.api.access import Manager, Services, Viewer, find_registry
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Body
from naru.web.api.paging import Page, tell_total
from naru.web.api.policies import RegistryId, RuleId, Selector, WantedSelector, id_of, selector
from naru.web.api.routing import PROJECT, Router

router = Router(PROJECT, tags=["image protection"])

_RULES = "/registries/{registryId}/immutabletagrules"


class ImmutableTagRule(BaseModel):
    """A policy: tags of images that both match are protected."""

    id: int = Field(description="Id of the policy.", examples=[7])
    disabled: bool = Field(description="Whether it is switched off.", examples=[False])
    scope: Selector = Field(description="Of which images; names without the registry.")
    tag: Selector = Field(description="Which tags.")


class ImmutableTagRulesAnswer(Envelope):
    """A page of policies."""

    immutable_tag_rules: list[ImmutableTagRule] = Field(description="The policies, the oldest first.")


class NewImmutableTagRule(Body):
    """A policy to add."""

    scope: WantedSelector | None = Field(default=None, description="Of which images; names without the registry.")
    tag: WantedSelector | None = Field(default=None, description="Which tags.")
    disabled: bool | None = Field(default=None, description="Whether it is switched off. Absent: no.", examples=[False])


class ChangedImmutableTagRule(Body):
    """What the policy becomes."""

    disabled: bool | None = Field(
        default=None, description="Whether it is switched off. Absent: as it is.", examples=[True]
    )
    scope: Selector = Field(description="Of which images; names without the registry.")
    tag: Selector = Field(description="Which tags.")


def _shown(kept: KeptRule) -> ImmutableTagRule:
    rule = kept.rule
    return ImmutableTagRule(
        id=rule.id, disabled=kept.disabled, scope=Selector.shown(rule.scope), tag=Selector.shown(rule.tag)
    )


@router.get(_RULES, summary="List protection policies")
async def list_immutable_tag_rules(
    request: Request, response: Response, grant: Viewer, services: Services, registry_id: RegistryId, page: Page
) -> ImmutableTagRulesAnswer:
    """The policies for protected tags of a registry, the oldest first. `q` is a part of a pattern. `sort`: `id`,
    `scope`, `tag`, `disabled`."""
    facts = await find_registry(grant, services, request, registry_id)
    found, total = await services.protection.list(grant, facts.id, page.asked)
    tell_total(request, response, page, total)
    return ImmutableTagRulesAnswer(immutable_tag_rules=[_shown(one) for one in found])


@router.post(_RULES, summary="Add a protection policy")
async def add_immutable_tag_rule(
    request: Request, grant: Manager, services: Services, registry_id: RegistryId, wanted: NewImmutableTagRule
) -> Envelope:
    """The tags that match are protected from now on: they can be neither moved nor deleted, by anybody. One that exists
    already is refused."""
    rule = Wanted(selector(wanted.scope), selector(wanted.tag), wanted.disabled)
    facts = await find_registry(grant, services, request, registry_id)
    await services.protection.add(grant, facts.id, rule)
    return Envelope()


@router.put(_RULES + "/{rule_id}", summary="Change a protection policy")
async def change_immutable_tag_rule(
    request: Request,
    grant: Manager,
    services: Services,
    registry_id: RegistryId,
    rule_id: RuleId,
    wanted: ChangedImmutableTagRule,
) -> Envelope:
    """Switch it on or off, or give it other images and tags."""
    rule = Wanted(selector(wanted.scope), selector(wanted.tag), wanted.disabled)
    facts = await find_registry(grant, services, request, registry_id)
    await services.protection.change(grant, facts.id, id_of(rule_id, "protection policy"), rule)
    return Envelope()


@router.delete(_RULES + "/{rule_id}", summary="Delete a protection policy")
async def delete_immutable_tag_rule(
    request: Request, grant: Manager, services: Services, registry_id: RegistryId, rule_id: RuleId
) -> Envelope:
    """Its tags are protected no more, unless another one does."""
    facts = await find_registry(grant, services, request, registry_id)
    await services.protection.delete(grant, facts.id, id_of(rule_id, "protection policy"))
    return Envelope()
