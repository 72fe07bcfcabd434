"""Who may do what: the one table of roles, and ``Grant``, the proof that the table was asked.

Source: the permission matrix of the NCR user guide (last section). Project Admin, Project Member and Service Admin
share a column: everything. Service Viewer: every read, and pull. Image Uploader: every read, and push, but no pull.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from naru.core.audit import Actor
from naru.core.errors import Denied


class Permission(StrEnum):
    """What somebody may do in a project."""

    VIEW = "view"  # registries, images, artifacts, tags and their lists
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"  # images, artifacts, tags, blobs
    MANAGE = "manage"  # registries, tags by the API, policies, webhooks, settings of registries; reads the audit log
    ADMINISTER = "administer"  # members, users and their keys, limits of the project


class Role(StrEnum):
    """What a user is in a project; several add up."""

    PROJECT_ADMIN = "project-admin"
    PROJECT_MEMBER = "project-member"
    SERVICE_ADMIN = "service-admin"
    SERVICE_VIEWER = "service-viewer"
    IMAGE_UPLOADER = "image-uploader"


EVERYTHING = frozenset(Permission)
ANONYMOUS_PULL = frozenset({Permission.VIEW, Permission.PULL})
NOTHING: frozenset[Permission] = frozenset()

ROLES: dict[Role, frozenset[Permission]] = {
    Role.PROJECT_ADMIN: EVERYTHING,
    Role.PROJECT_MEMBER: EVERYTHING - {Permission.ADMINISTER},
    Role.SERVICE_ADMIN: EVERYTHING - {Permission.ADMINISTER},
    Role.SERVICE_VIEWER: frozenset({Permission.VIEW, Permission.PULL}),
    Role.IMAGE_UPLOADER: frozenset({Permission.VIEW, Permission.PUSH}),
}


def permissions_of(roles: Iterable[str]) -> frozenset[Permission]:
    """What several roles allow together: they add up. A role that this version does not know allows nothing."""
    allowed: frozenset[Permission] = frozenset()
    for role in roles:
        if role in ROLES:
            allowed |= ROLES[Role(role)]
    return allowed


@dataclass(frozen=True, slots=True)
class RegistryFacts:
    """What every door has to know of a registry before it lets anybody in."""

    id: int
    project_id: int
    name: str
    kind: str  # normal | cache
    public_uri: bool
    anonymous_pull: bool
    webhook_events: int = 0  # ``core.webhooks.Events`` that somebody wants to hear of; only ``web.guard`` asks


class Grant(NamedTuple):
    """Proof that somebody may do ``permissions`` in ``registry``. Only ``web.guard`` and the command line make one.

    Services that read or change something take it first. ``user_id`` is None for anonymous pulls. A tuple, because one
    is made for each request: a frozen dataclass costs three times as much.
    """

    registry: RegistryFacts
    permissions: frozenset[Permission]
    user_id: int | None
    actor: Actor

    def require(self, permission: Permission) -> None:
        """Raise ``Denied`` unless the grant covers ``permission``: a service's own check, whatever the door did."""
        if permission not in self.permissions:
            raise Denied(f"this request may not {permission} in registry '{self.registry.name}'")


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What every door has to know of a project."""

    id: int
    name: str
    appkey: str
    host_label: str | None
    region: str


@dataclass(frozen=True, slots=True)
class ProjectGrant:
    """Proof that somebody may do ``permissions`` in the whole project. ``service_admin``: and in the installation."""

    project: ProjectFacts
    permissions: frozenset[Permission]
    actor: Actor
    service_admin: bool = False

    def require(self, permission: Permission) -> None:
        """Raise ``Denied`` unless the grant covers ``permission``."""
        if permission not in self.permissions:
            raise Denied(f"'{self.actor.name}' may not {permission} in project '{self.project.name}'")

    def in_registry(self, registry: RegistryFacts) -> Grant:
        """The same for one registry of the project."""
        return Grant(registry, self.permissions, self.actor.user_id, self.actor)


@dataclass(frozen=True, slots=True)
class AccountGrant:
    """Proof that somebody signed in, who may see and change what is their own; ``service_admin``: and all accounts.

    Only ``web.api_guard`` and the command line make one. ``actor.user_id`` is whose account it is; None: the operator.
    ``by_token``: signed in by a token that lives for hours, which must not become a secret that stays.
    """

    actor: Actor
    service_admin: bool = False
    by_token: bool = False

    def require_service_admin(self) -> None:
        """Raise ``Denied`` unless this is a service administrator of the installation."""
        if not self.service_admin:
            raise Denied(f"'{self.actor.name}' is no service administrator of this installation")

    def require_secret(self) -> None:
        """Raise ``Denied`` for who signed in by a token: what is asked for outlives it."""
        if self.by_token:
            raise Denied("keys, secrets and passwords are made by who signed in with an access key, not with a token")
