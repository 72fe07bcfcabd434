"""Which options go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from naru.settings.options import Settings


def require_fitting(settings: Settings) -> None:
    """``ValueError`` tells what does not go together, and what to do."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise ValueError("tls_certificate and tls_key belong together: set both, or none of them for plain HTTP")
    if settings.object_store is None:
        for name in ("blob_store_old_url", "blob_redirect_endpoint", "blob_redirect_private_endpoint"):
            if getattr(settings, name) is not None:
                raise ValueError(f"{name} is only for an object store, and blob_store_url names none")
        if settings.blob_redirect != "off":
            raise ValueError("blob_redirect is only for an object store, and blob_store_url names none")
    taken = [
        address
        for address in (settings.public, settings.private, settings.metrics)
        if address and not address.endswith(":0")
    ]
    for address in taken:
        if taken.count(address) > 1:
            raise ValueError(f"public, private and metrics need addresses of their own; {address!r} is given twice")
