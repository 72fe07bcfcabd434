"""Users, for service administrators; and everybody's own account. Beyond the published API."""

from __future__ import annotations

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from naru.services.accounts import AccountView, UserChange
from naru.web.api.access import ServiceAdministrator, Services, SignedIn
from naru.web.api.envelope import Envelope
from naru.web.api.fields import Strict, UserId
from naru.web.api.paging import Walk, tell_page
from naru.web.api.routing import INSTALLATION, Router
from naru.web.api.times import rfc3339

accounts = Router(INSTALLATION, tags=["users"])


class UserModel(BaseModel):
    """A user."""

    user_id: int = Field(description="Id of the user.", examples=[7])
    name: str = Field(description="What the user is called.", examples=["kim"])
    enabled: bool = Field(description="Whether keys and tokens of the user work.", examples=[True])
    service_admin: bool = Field(description="Administrator of the whole installation.", examples=[False])
    has_password: bool = Field(description="Whether the user can sign in to the console.", examples=[True])
    access_key_count: int = Field(description="Access keys that the user has.", examples=[2])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=["2026-01-01T00:00:00.000Z"])
    roles: dict[str, list[str]] = Field(
        description="Name of each project in which the user has roles, and the roles.",
        examples=[{"default": ["service-viewer", "image-uploader"]}],
    )


class UsersAnswer(Envelope):
    """A page of users."""

    users: list[UserModel] = Field(description="The users.")


class UserAnswer(Envelope):
    """One user."""

    user: UserModel = Field(description="The user.")


class NewUser(Strict):
    """A user to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "kim"}]})

    name: str = Field(
        description="1 to 128 letters of one script, digits, and `.`, `_`, `-`, `@`, `+` or spaces between them; not "
        "one that could be taken for a user who is there: by case, accents or letters that look alike.",
        examples=["kim"],
        max_length=128,
    )
    password: str | None = Field(
        default=None, description="8 to 256 characters; without one, access keys alone sign in.", examples=[None]
    )
    service_admin: bool = Field(default=False, description="Administrator of the whole installation.")


class ChangedUser(Strict):
    """What to change; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    enabled: bool | None = Field(default=None, description="False: keys and tokens stop within seconds.")
    service_admin: bool | None = Field(default=None, description="The last service administrator keeps it.")
    password: str | None = Field(default=None, description="8 to 256 characters.", examples=[None])


class ChangedPassword(Strict):
    """One's own password."""

    current: str = Field(description="The password until now.", max_length=1024)
    new: str = Field(description="The one from now on, 8 to 256 characters.", max_length=1024)


def shown(view: AccountView) -> UserModel:
    user = view.user
    return UserModel(
        user_id=user.id,
        name=user.name,
        enabled=user.enabled,
        service_admin=user.service_admin,
        has_password=user.has_password,
        access_key_count=user.key_count,
        creation_time=rfc3339(user.created_at),
        roles={project: list(roles) for project, roles in view.roles.items()},
    )


@accounts.get("/users", summary="List users")
async def list_users(
    request: Request, response: Response, grant: ServiceAdministrator, services: Services, page: Walk
) -> UsersAnswer:
    """All of the installation. Sorted by `name` or `creation_time`."""
    found = await services.users.list(grant, page.asked)
    tell_page(request, response, page, found)
    return UsersAnswer(users=[shown(one) for one in found.items])


@accounts.post("/users", summary="Create a user")
async def create_user(grant: ServiceAdministrator, services: Services, wanted: NewUser) -> UserAnswer:
    """The user has no role in any project, and no access key, until somebody gives one."""
    made = await services.users.create(grant, wanted.name, wanted.password, service_admin=wanted.service_admin)
    return UserAnswer(user=shown(made))


@accounts.get("/users/{userId}", summary="Show a user")
async def get_user(grant: ServiceAdministrator, services: Services, user_id: UserId) -> UserAnswer:
    """With the roles in every project."""
    return UserAnswer(user=shown(await services.users.view(grant, user_id)))


@accounts.put("/users/{userId}", summary="Change a user")
async def change_user(
    grant: ServiceAdministrator, services: Services, user_id: UserId, wanted: ChangedUser
) -> UserAnswer:
    """Enable or disable, make a service administrator or no more, set a password."""
    change = UserChange(enabled=wanted.enabled, service_admin=wanted.service_admin, password=wanted.password)
    return UserAnswer(user=shown(await services.users.change(grant, user_id, change)))


@accounts.delete("/users/{userId}", summary="Delete a user")
async def delete_user(grant: ServiceAdministrator, services: Services, user_id: UserId) -> Envelope:
    """With all access keys and roles. What the user did stays in the audit log."""
    await services.users.delete(grant, user_id)
    return Envelope()


@accounts.get("/account", summary="Show one's own account")
async def get_account(grant: SignedIn, services: Services) -> UserAnswer:
    """Who the access key or token belongs to, with the roles in every project."""
    return UserAnswer(user=shown(await services.users.account(grant)))


@accounts.put("/account/password", summary="Change one's own password")
async def change_password(grant: SignedIn, services: Services, wanted: ChangedPassword) -> Envelope:
    """Needs the password until now. Access keys go on working."""
    await services.users.change_own_password(grant, wanted.current, wanted.new)
    return Envelope()
