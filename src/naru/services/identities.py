"""Who is asking: access keys and their standing, with the limits on guessing.

Standings are cached for two seconds, so that a key or user that is disabled, deleted or loses a role stops working
within that time, tokens included, while a pull needs no look-up.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass, field

from naru.core.permissions import EVERYTHING, NOTHING, Permission, permissions_of
from naru.core.ports import Clock
from naru.db.pull import FoundKey, PullQueries
from naru.services.activity import Activity
from naru.services.guesses import Guesses
from naru.services.secrets import Verifier
from naru.services.sign_ins import SignIns

STANDING_MICROSECONDS = 2_000_000
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A key that works now, with its user and what the user may do, project by project."""

    key_id: int
    user_id: int
    user_name: str
    access_key: str
    secret_hash: str
    stamp: str  # of the secret: changes with it, and tells nothing of it
    service_admin: bool
    projects: dict[int, frozenset[Permission]] = field(repr=False)

    def permissions(self, project_id: int) -> frozenset[Permission]:
        if self.service_admin:
            return EVERYTHING
        return self.projects.get(project_id, NOTHING)


class Identities:
    def __init__(
        self, *, pull: PullQueries, activity: Activity, verifier: Verifier, sign_ins: SignIns, clock: Clock
    ) -> None:
        self._pull = pull
        self._activity = activity
        self._verifier = verifier
        self._sign_ins = sign_ins
        self._clock = clock
        self._standings: dict[int, tuple[int, Standing | None]] = {}
        self._proved: OrderedDict[bytes, tuple[int, str]] = OrderedDict()
        self._guesses = Guesses(clock=clock, remembered=REMEMBERED)
        self._salt = os.urandom(16)

    async def standing(self, key_id: int) -> Standing | None:
        """The key's standing, at most two seconds old; None when it is gone, disabled or expired, or its user is."""
        now = self._clock.now()
        cached = self._standings.get(key_id)
        if cached is not None and 0 <= now - cached[0] < STANDING_MICROSECONDS:
            return cached[1]
        standing = _standing(await self._pull.key_by_id(key_id), now)
        if len(self._standings) > REMEMBERED:
            self._standings.clear()
        self._standings[key_id] = (now, standing)
        return standing

    async def sign_in(self, access_key: str, secret: str, address: str, request_id: str = "") -> Standing | None:
        """The standing of the key whose secret this is; None when either is wrong (nobody learns which).

        ``TooManyRequests`` after too many wrong secrets, for that key from that address alone: nobody locks out others.
        """
        proof = hashlib.blake2b(f"{access_key}\0{secret}".encode("utf-8", "surrogatepass"), key=self._salt).digest()
        proved = self._proved.get(proof)
        if proved is not None:
            standing = await self.standing(proved[0])
            if standing is not None and standing.secret_hash == proved[1]:
                self._activity.key_used(standing.key_id, address)
                return standing
            self._proved.pop(proof, None)
        self._guesses.refuse(access_key, address)
        found = await self._pull.key_by_name(access_key)
        matches = await self._verifier.matches(secret, found.secret_hash if found else None)
        standing = _standing(found, self._clock.now()) if matches else None
        if standing is None:
            self._guesses.failed(access_key, address)
            self._sign_ins.failed(found, address, request_id)
            return None
        self._guesses.succeeded(access_key, address)
        self._proved[proof] = (standing.key_id, standing.secret_hash)
        if len(self._proved) > REMEMBERED:
            self._proved.popitem(last=False)
        self._activity.key_used(standing.key_id, address)
        return standing

    def used(self, key_id: int, address: str) -> None:
        """A token of the key was used."""
        self._activity.key_used(key_id, address)


def _standing(found: FoundKey | None, now: int) -> Standing | None:
    if found is None or not found.key_enabled or not found.user_enabled:
        return None
    if found.expires_at is not None and found.expires_at <= now:
        return None
    roles: dict[int, list[str]] = {}
    for entry in found.roles.split(",") if found.roles else ():
        project, _, role = entry.partition(":")
        roles.setdefault(int(project), []).append(role)
    return Standing(
        found.key_id,
        found.user_id,
        found.user_name,
        found.access_key,
        found.secret_hash,
        hashlib.sha256(found.secret_hash.encode()).hexdigest()[:16],
        bool(found.service_admin),
        {project: permissions_of(names) for project, names in roles.items()},
    )
