"""Guessing of secrets and passwords is slowed: for one name from one address, and for the address as a whole.

Nobody locks out others: who guesses at somebody's key or account from elsewhere only keeps that place waiting.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network, ip_address

from naru.core.errors import TooManyRequests
from naru.core.ports import Clock

#: Wrong secrets for one name from one address before it has to wait, and how long (microseconds).
FAILURES = 10
FAILURES_OF_ADDRESS = 100
FAILURE_WINDOW = 60_000_000


class Guesses:
    """``remembered``: pairs of name and address that are counted at most; the oldest are forgotten."""

    def __init__(self, *, clock: Clock, remembered: int) -> None:
        self._clock = clock
        self._remembered = remembered
        self._failures: OrderedDict[tuple[str, str], list[int]] = OrderedDict()

    def refuse(self, name: str, address: str) -> None:
        """``TooManyRequests`` after too many wrong secrets; call it before looking at one."""
        now = self._clock.now()
        for pair, allowed in zip(_counted_by(name, address), (FAILURES, FAILURES_OF_ADDRESS), strict=True):
            times = self._failures.get(pair)
            if times is None:
                continue
            times[:] = [time for time in times if 0 <= now - time < FAILURE_WINDOW]
            if len(times) >= allowed:
                wait = max(1, (times[0] + FAILURE_WINDOW - now) // 1_000_000 + 1)
                raise TooManyRequests(
                    f"too many wrong secrets from this address; try again in {wait} seconds",
                    headers={"Retry-After": str(wait)},
                )

    def failed(self, name: str, address: str) -> None:
        now = self._clock.now()
        for pair in _counted_by(name, address):
            self._failures.setdefault(pair, []).append(now)
            self._failures.move_to_end(pair)
        while len(self._failures) > self._remembered:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """A right secret: those before it were slips of the pen."""
        self._failures.pop(_counted_by(name, address)[0], None)


def _counted_by(name: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """What wrong secrets are counted by: the name with the address, and the address alone.

    An IPv6 address counts by its /64, since whoever has one address of it has all. What is sent as a name may be long.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        parsed = None
    if isinstance(parsed, IPv6Address):
        address = str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False))
    return (name[:64] or "-", address), ("", address)
