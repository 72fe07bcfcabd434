"""Sign-ins in the audit log: good ones that get a token, and wrong ones.

They are about a person and not about a project, so they go to the installation's log; a token that was got at a
project's own host, by somebody with a role there, is in the project's log too.

Anybody can send wrong secrets, and clients sign in at each pull: so there is at most one row a minute for a key and an
address, and ``MOST`` in all. Rows are written soon and not waited for; a crash may lose the last ones.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from typing import Any

from naru.core.audit import Action, Actor
from naru.core.errors import Unavailable
from naru.core.ports import Clock
from naru.db import accounts, audit
from naru.db.accounts import User
from naru.db.engine import Database
from naru.db.pull import FoundKey

MINUTE = 60_000_000
#: Rows a minute, whoever they are about.
MOST = 1000


class SignIns:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._noted: OrderedDict[tuple[Action, str, str | None], int] = OrderedDict()

    def failed(self, key: FoundKey | None, address: str, request_id: str) -> None:
        """A wrong secret, or a key that works no more. What was sent as the ID of a key that does not exist is not
        written: it may be a secret in the wrong place."""
        actor = Actor("anonymous", None, key.access_key if key else None, address, request_id)
        resource = f"access key {key.access_key}" if key else "unknown access key"
        self._note(Action.SIGN_IN_FAILED, key.user_id if key else None, actor, resource)

    def failed_password(self, user: User | None, address: str, request_id: str) -> None:
        """A wrong password at the console. A name that nobody has is not written: it may be a password, too."""
        actor = Actor("anonymous", None, None, address, request_id)
        resource = f"user {user.name}" if user else "unknown user"
        self._note(Action.SIGN_IN_FAILED, user.id if user else None, actor, resource)

    def succeeded(self, actor: Actor, resource: str, project_id: int | None = None) -> None:
        """Somebody got a token for ``resource``, or signed in to it. ``project_id``: of whose host, if the user has a
        role there."""
        self._note(Action.SIGN_IN, actor.user_id, actor, resource, project_id)

    def _note(
        self, action: Action, user_id: int | None, actor: Actor, resource: str, project_id: int | None = None
    ) -> None:
        now = self._clock.now()
        while self._noted and not 0 <= now - next(iter(self._noted.values())) < MINUTE:
            self._noted.popitem(last=False)
        about = (action, f"{project_id} {actor.access_key or f'{user_id} {resource}'}", actor.address)
        if about in self._noted or len(self._noted) >= MOST:
            return
        self._noted[about] = now

        def write(tx: Any) -> None:
            audit.record_of_account(tx, user_id, now, action, actor, resource)
            if project_id is not None and accounts.project_by_id(tx, project_id) is not None:
                audit.record(tx, project_id, now, action, actor, resource)

        with contextlib.suppress(Unavailable):  # the server is stopping
            self._database.write_soon(write, "a sign-in in the audit log", locks=())
