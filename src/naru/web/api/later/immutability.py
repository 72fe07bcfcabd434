"""Protection of images: rules for tags that nobody may move or delete (NCR API guide, "이미지 보호")."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from naru.web.api.access import Manager, Viewer
from naru.web.api.envelope import Envelope
from naru.web.api.later.shared import RegistryId, RuleId, Selector, WantedSelector, not_yet
from naru.web.api.paging import Page

router = APIRouter(tags=["image protection"])

_RULES = "/registries/{registryId}/immutabletagrules"
_WHAT = "protection policies"


class ImmutableTagRule(BaseModel):
    """A rule: tags of images that both match are protected."""

    id: int = Field(description="Id of the rule.", examples=[7])
    disabled: bool = Field(description="Whether it is switched off.", examples=[False])
    scope: Selector = Field(description="Of which images.")
    tag: Selector = Field(description="Which tags.")


class ImmutableTagRulesAnswer(Envelope):
    """A page of rules."""

    immutable_tag_rules: list[ImmutableTagRule] = Field(description="The rules.")


class NewImmutableTagRule(BaseModel):
    """A rule to add."""

    scope: WantedSelector | None = Field(default=None, description="Of which images.")
    tag: WantedSelector | None = Field(default=None, description="Which tags.")


class ChangedImmutableTagRule(BaseModel):
    """What the rule becomes."""

    disabled: bool | None = Field(default=None, description="Whether it is switched off.", examples=[True])
    scope: Selector = Field(description="Of which images.")
    tag: Selector = Field(description="Which tags.")


@router.get(_RULES, summary="List protection policies")
async def list_immutable_tag_rules(_grant: Viewer, registry_id: RegistryId, _page: Page) -> ImmutableTagRulesAnswer:
    """The rules for protected tags of a registry."""
    raise not_yet(_WHAT)


@router.post(_RULES, summary="Add a protection policy")
async def add_immutable_tag_rule(_grant: Manager, registry_id: RegistryId, wanted: NewImmutableTagRule) -> Envelope:
    """The tags that match are protected from now on. One that exists already is refused."""
    raise not_yet(_WHAT)


@router.put(_RULES + "/{rule_id}", summary="Change a protection policy")
async def change_immutable_tag_rule(
    _grant: Manager, registry_id: RegistryId, rule_id: RuleId, wanted: ChangedImmutableTagRule
) -> Envelope:
    """Switch it on or off, or give it other images and tags."""
    raise not_yet(_WHAT)


@router.delete(_RULES + "/{rule_id}", summary="Delete a protection policy")
async def delete_immutable_tag_rule(_grant: Manager, registry_id: RegistryId, rule_id: RuleId) -> Envelope:
    """Its tags are protected no more, unless another rule does."""
    raise not_yet(_WHAT)
