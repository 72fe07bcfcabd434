"""Members of a project and their roles. Beyond the published API."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.core.permissions import Role
from naru.services.accounts import Member
from naru.web.api.access import Administrator, Services
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Strict, UserId
from naru.web.api.paging import Walk, tell_page
from naru.web.api.routing import PROJECT, Router

router = Router(PROJECT, tags=["members"])

Roles = Annotated[
    list[Annotated[Role, Field(strict=False)]],
    Field(
        min_length=1,
        max_length=len(Role),
        description="Roles in the project; they add up.",
        examples=[["service-viewer"]],
    ),
]


class MemberModel(BaseModel):
    """A user who has roles in the project."""

    user_id: int = Field(description="Id of the user.", examples=[7])
    name: str = Field(description="What the user is called.", examples=["kim"])
    enabled: bool = Field(description="Whether keys and tokens of the user work.", examples=[True])
    roles: list[str] = Field(description="Roles in the project; they add up.", examples=[["service-viewer"]])


class MembersAnswer(Envelope):
    """A page of members."""

    members: list[MemberModel] = Field(description="The members, by name.")


class MemberAnswer(Envelope):
    """One member."""

    member: MemberModel = Field(description="The member.")


class NewMember(Strict):
    """A user to give roles to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "kim", "roles": ["service-viewer"]}]})

    name: str = Field(max_length=128, description="The user's whole name.", examples=["kim"])
    roles: Roles


class ChangedMember(Strict):
    """The roles from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"roles": ["service-viewer", "image-uploader"]}]})

    roles: Roles


def shown(member: Member) -> MemberModel:
    user = member.user
    return MemberModel(user_id=user.id, name=user.name, enabled=user.enabled, roles=list(member.roles))


@router.get("/members", summary="List members")
async def list_members(
    request: Request, response: Response, grant: Administrator, services: Services, page: Walk
) -> MembersAnswer:
    """Users who have roles in the project. Sorted by `name`."""
    found = await services.members.list(grant, page.asked)
    tell_page(request, response, page, found)
    return MembersAnswer(members=[shown(one) for one in found.items])


@router.post("/members", summary="Give roles to a user")
async def add_member(grant: Administrator, services: Services, wanted: NewMember) -> MemberAnswer:
    """In addition to the roles that the user has."""
    return MemberAnswer(member=shown(await services.members.add(grant, wanted.name, wanted.roles)))


@router.get("/members/{userId}", summary="Show a member")
async def get_member(grant: Administrator, services: Services, user_id: UserId) -> MemberAnswer:
    """With the roles in the project."""
    return MemberAnswer(member=shown(await services.members.view(grant, user_id)))


@router.put("/members/{userId}", summary="Set the roles of a member")
async def change_member(
    grant: Administrator, services: Services, user_id: UserId, wanted: ChangedMember
) -> MemberAnswer:
    """Exactly these, one at least. They count within seconds, tokens included."""
    return MemberAnswer(member=shown(await services.members.set_roles(grant, user_id, wanted.roles)))


@router.delete("/members/{userId}", summary="Remove a member")
async def remove_member(grant: Administrator, services: Services, user_id: UserId) -> Envelope:
    """All roles in the project go; the user and the access keys stay."""
    await services.members.remove(grant, user_id)
    return Envelope()
