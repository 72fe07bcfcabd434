"""Host names of projects: ``{label}-{region}-registry.{domain}``, ``private-`` before it for the private address.

The prefix is a name and no more: whether a connection is private is told by the listener that took it. Source: NHN
Container Registry's addresses.
"""

from __future__ import annotations

import re

_HOST = re.compile(
    r"(?:private-)?([a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?)-([a-z][a-z0-9]{0,15})-registry\.[a-z0-9].*", re.ASCII
)
MAX_HOST = 260  # characters, with a port


def read_host(host: str) -> tuple[str, str] | None:
    """Label and region of the project that the host would be of; None for any other host."""
    match = _HOST.fullmatch(host.lower()) if len(host) <= MAX_HOST else None
    return None if match is None else (match[1], match[2])


def project_host(label: str | None, region: str, host: str, *, private: bool) -> str:
    """Host of a project beside ``host``, which may be another project's: the domain is the same, and the port.

    A project without a label answers on the domain itself.
    """
    domain = host.partition(".")[2] if read_host(host) else host
    if label is None:
        return domain
    return f"{'private-' if private else ''}{label}-{region}-registry.{domain}"
