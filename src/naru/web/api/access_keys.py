"""Access keys: one's own, and what administrators may do with others'. Beyond the published API."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from naru.services.accounts import KEYS_PER_USER, ROTATE_DAYS, KeyChange, KeyView, NewKey
from naru.web.api.access import Administrator, ServiceAdministrator, Services, SignedIn
from naru.web.api.envelope import Envelope
from naru.web.api.fields import AccessKeyId, Strict, UserId, microseconds
from naru.web.api.routing import INSTALLATION, PROJECT, Router, Time
from naru.web.api.times import rfc3339

router = Router(PROJECT, tags=["members"])
accounts = Router(INSTALLATION, tags=["access keys"])


class KeyModel(BaseModel):
    """An access key without its secret."""

    access_key_id: str = Field(description="What signs in: the user name of `docker login`.", examples=["MxQdT0b4y7Kc"])
    label: str = Field(description="What the key is for.", examples=["build server"])
    enabled: bool = Field(description="Whether it works.", examples=[True])
    creation_time: str = Field(description="RFC 3339, UTC.", examples=["2026-01-01T00:00:00.000Z"])
    expires_at: str | None = Field(description="When it stops working; null: never.", examples=[None])
    expired: bool = Field(description="Whether that time is over.", examples=[False])
    last_used_time: str | None = Field(description="Null: never used.", examples=["2026-02-01T08:30:00.000Z"])
    last_used_address: str | None = Field(description="IP address that used it last.", examples=["198.51.100.7"])
    age_days: int = Field(description="Whole days since the secret was made.", examples=[31])
    rotate: bool = Field(
        description=f"True from {ROTATE_DAYS} days on: make the secret anew, or the key.", examples=[False]
    )


class KeysAnswer(Envelope):
    """Access keys of one user, the oldest first."""

    access_keys: list[KeyModel] = Field(description="The keys.")


class KeyAnswer(Envelope):
    """One access key."""

    access_key: KeyModel = Field(description="The key.")


class SecretModel(BaseModel):
    """A key with its secret, which is shown this once."""

    access_key_id: str = Field(description="The user name of `docker login`.", examples=["MxQdT0b4y7Kc"])
    secret_access_key: str = Field(description="The password. Only a hash of it is kept.", examples=["*****"])


class SecretAnswer(Envelope):
    """A new secret."""

    access_key: SecretModel = Field(description="The key and its secret.")


class NewAccessKey(Strict):
    """A key to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "build server"}]})

    label: str = Field(default="", max_length=128, description="What the key is for.", examples=["build server"])
    expires_at: Time | None = Field(default=None, description="When it stops working; null: never.", examples=[None])


class ChangedKey(Strict):
    """What to change; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    label: str | None = Field(default=None, max_length=128, description="What the key is for.")
    enabled: bool | None = Field(default=None, description="False: it and its tokens stop working within seconds.")
    expires_at: Time | None = Field(default=None, description="When it stops working; null: never.", examples=[None])


def shown(view: KeyView) -> KeyModel:
    key = view.key
    return KeyModel(
        access_key_id=key.access_key,
        label=key.label,
        enabled=key.enabled,
        creation_time=rfc3339(key.created_at),
        expires_at=rfc3339(key.expires_at) or None,
        expired=view.expired,
        last_used_time=rfc3339(key.last_used_at) or None,
        last_used_address=key.last_used_address,
        age_days=view.age_days,
        rotate=view.rotate,
    )


def _secret(new: NewKey) -> SecretAnswer:
    return SecretAnswer(access_key=SecretModel(access_key_id=new.access_key, secret_access_key=new.secret))


def _expiry(wanted: NewAccessKey | ChangedKey) -> int | None:
    return None if wanted.expires_at is None else microseconds(wanted.expires_at)


@accounts.get("/access-keys", summary="List one's own access keys")
async def list_keys(grant: SignedIn, services: Services) -> KeysAnswer:
    """With their age, last use and from where."""
    return KeysAnswer(access_keys=[shown(one) for one in await services.keys.own(grant)])


@accounts.post(
    "/access-keys",
    summary="Create an access key",
    description=f"For oneself; {KEYS_PER_USER} at most. The answer is the only place that ever shows the secret.",
)
async def create_key(grant: SignedIn, services: Services, wanted: NewAccessKey) -> SecretAnswer:
    return _secret(await services.keys.create(grant, wanted.label, _expiry(wanted)))


@accounts.get("/access-keys/{accessKeyId}", summary="Show an access key")
async def get_key(grant: SignedIn, services: Services, access_key_id: AccessKeyId) -> KeyAnswer:
    """One's own; any for service administrators."""
    return KeyAnswer(access_key=shown(await services.keys.view(grant, access_key_id)))


@accounts.put("/access-keys/{accessKeyId}", summary="Change an access key")
async def change_key(grant: SignedIn, services: Services, access_key_id: AccessKeyId, wanted: ChangedKey) -> KeyAnswer:
    """Label, enable or disable, when it expires. One's own; any for service administrators."""
    expires_at = (_expiry(wanted) or 0) if "expires_at" in wanted.model_fields_set else None
    change = KeyChange(label=wanted.label, enabled=wanted.enabled, expires_at=expires_at)
    return KeyAnswer(access_key=shown(await services.keys.change(grant, access_key_id, change)))


@accounts.post("/access-keys/{accessKeyId}/secret", summary="Regenerate the secret of an access key")
async def regenerate_key(grant: SignedIn, services: Services, access_key_id: AccessKeyId) -> SecretAnswer:
    """The old secret, and every token that was got with it, stops working within seconds."""
    return _secret(await services.keys.regenerate(grant, access_key_id))


@accounts.delete("/access-keys/{accessKeyId}", summary="Delete an access key")
async def delete_key(grant: SignedIn, services: Services, access_key_id: AccessKeyId) -> Envelope:
    """It and its tokens stop working within seconds."""
    await services.keys.delete(grant, access_key_id)
    return Envelope()


@accounts.get("/users/{userId}/access-keys", summary="List access keys of a user")
async def list_keys_of_user(grant: ServiceAdministrator, services: Services, user_id: UserId) -> KeysAnswer:
    """For service administrators."""
    return KeysAnswer(access_keys=[shown(one) for one in await services.keys.of_user(grant, user_id)])


@accounts.post("/users/{userId}/access-keys", summary="Create an access key for a user")
async def create_key_for_user(
    grant: ServiceAdministrator, services: Services, user_id: UserId, wanted: NewAccessKey
) -> SecretAnswer:
    """For service administrators: the first key of a user who has none to sign in with."""
    return _secret(await services.keys.create(grant, wanted.label, _expiry(wanted), user_id=user_id))


@router.get("/members/{userId}/access-keys", summary="List access keys of a member")
async def list_keys_of_member(grant: Administrator, services: Services, user_id: UserId) -> KeysAnswer:
    """With their age and last use."""
    return KeysAnswer(access_keys=[shown(one) for one in await services.keys.of_member(grant, user_id)])


@router.post("/members/{userId}/access-keys/{accessKeyId}/disable", summary="Disable an access key of a member")
async def disable_key_of_member(
    grant: Administrator, services: Services, user_id: UserId, access_key_id: AccessKeyId
) -> Envelope:
    """Refused for members who work elsewhere too: take their roles in this project instead."""
    await services.keys.disable_of_member(grant, user_id, access_key_id)
    return Envelope()
