"""What the operations of the public API call. Apart from ``access``, so that a start need not load FastAPI."""

from __future__ import annotations

from dataclasses import dataclass

from naru.services.audit import AuditLog
from naru.services.registries import Registries
from naru.web.addresses import Addresses
from naru.web.guard import Guard


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the operations call."""

    guard: Guard
    addresses: Addresses
    registries: Registries
    audit: AuditLog
