"""Clients that go on whatever happens, and know what they were told.

They are the pushers of ``tests.crash.storm``, each with an image of its own. An answer that did not come, or that says
"try again" (502, 503, 504, 507, 408), leaves two states possible: that before and that after. Anything else that was
not to be expected is a fault, a 500 above all.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from tests.crash import storm
from tests.crash.storm import Contents, Pusher, State
from tests.crash.wire import Answer, Gone, Wire
from tests.make import sha256

TRY_AGAIN = frozenset({408, 502, 503, 504, 507})
#: Seconds after a change was cut off in which it may still be made: a COMMIT that was on its way.
ON_ITS_WAY = 0.5
#: Seconds in which everything has to work again after the last fault was healed.
HEALED = 40.0


@dataclass
class Report:
    """What happened, and what may not have: ``lost_answers``, ``wrong_bytes``, ``fsck_findings`` and ``failures`` are
    empty when all is well."""

    seed: int
    nodes: int
    clients: int
    rounds: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    refused: int = 0  # answered with "try again"
    cut_off: int = 0  # no whole answer
    pushes: int = 0  # manifests that were answered with 201
    blobs_checked: int = 0
    lost_answers: list[str] = field(default_factory=list)
    wrong_bytes: list[str] = field(default_factory=list)
    fsck_findings: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost_answers or self.wrong_bytes or self.fsck_findings or self.failures)

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"faults": dict(self.faults)}

    def __str__(self) -> str:
        faults = ", ".join(f"{count} x {name}" for name, count in sorted(self.faults.items()))
        lines = [
            f"{self.rounds} rounds in {self.seconds:.0f} s, {self.nodes} nodes, {self.clients} clients; seed "
            f"{self.seed}",
            f"faults: {faults}",
            *(f"left out: {name} ({why})" for name, why in self.skipped.items()),
            f"{self.requests} requests, {self.refused} refused for a while, {self.cut_off} cut off; {self.pushes} "
            f"pushes answered, {self.blobs_checked} blobs compared",
        ]
        for name in ("lost_answers", "wrong_bytes", "fsck_findings", "failures"):
            found: list[str] = getattr(self, name)
            lines += [f"{name.replace('_', ' ')}: {len(found)}", *(f"  {each}" for each in found[:20])]
        return "\n".join(lines)


class TryAgain(OSError):
    """The server said that it cannot now; one of ``Gone``."""


class Client(Wire):
    """Counts, and comes by a new connection every other time: the next request may meet another node."""

    def __init__(self, port: int, report: Report, seed: int, timeout: float = 60) -> None:
        super().__init__(port, timeout)
        self._report = report
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        self._report.requests += 1
        try:
            answer = super().request(method, path, body, headers, chunked=chunked)
        except Gone:
            self._report.cut_off += 1
            raise
        if self._random.random() < 0.5:
            self.close()
        if answer.status in TRY_AGAIN:
            self._report.refused += 1
            raise TryAgain(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
        return answer


class Steady(Pusher):
    """A pusher that finds out where it stands after a failure, and goes on."""

    def __init__(self, image: str, others: list[str], contents: Contents, report: Report, *, seed: int, grace: float):
        super().__init__(image, others, contents, seed=seed, grace=grace)
        self._report = report
        self._seed = seed

    def again(self, seed: int) -> Steady:
        other = Steady(self.image, self._others, self._contents, self._report, seed=seed, grace=self._grace)
        other.state, other.next, other.pushes = self.state, self.next, self.pushes
        return other

    def run(self) -> None:
        client = Client(self._port, self._report, self._seed)
        try:
            while not self.stop.is_set():
                try:
                    if self.next is not None:
                        time.sleep(ON_ITS_WAY)
                        self.find_out(client)
                    self._step(client)
                except Gone:
                    self.uploads.clear()  # where they stand is another test's
                    time.sleep(0.05)
        except BaseException as error:  # told by the test's thread
            self.fault = error
        finally:
            client.close()

    def find_out(self, client: Client) -> None:
        """Which of the two states is there. ``Lost`` when it is neither."""
        candidates = [self.state] + ([self.next] if self.next is not None else [])
        digests = {digest for state in candidates for digest in state.artifacts}
        found = State(
            {one: got.body for one in sorted(digests) if (got := _manifest(client, self.image, one))},
            {tag: sha256(got.body) for tag in storm.TAGS if (got := _manifest(client, self.image, tag))},
        )
        if found not in candidates:
            told = " or ".join(f"{dict(state.tags)} of {sorted(state.artifacts)}" for state in candidates)
            raise Lost(f"{self.image} holds {dict(found.tags)} of {sorted(found.artifacts)}; it was told {told}")
        self.state, self.next = found, None


class Lost(Exception):
    """What was answered is not there."""


def _manifest(client: Client, image: str, reference: str) -> Answer | None:
    answer = client.request("GET", f"/v2/{image}/manifests/{reference}", headers={"Accept": "*/*"})
    assert answer.status in (200, 404), (answer.status, answer.body)
    return answer if answer.status == 200 else None


def patiently(work: object, *arguments: object) -> None:
    """Until it is answered; the last ``Gone`` when that takes too long."""
    deadline = time.monotonic() + HEALED
    while True:
        try:
            work(*arguments)  # type: ignore[operator]
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def verify(crew: list[Steady], port: int, contents: Contents, report: Report, when: str) -> None:
    """With everything healed: all that was answered is there, byte for byte. What is wrong goes into the report."""
    client = Client(port, report, report.seed)
    try:
        for pusher in crew:
            if pusher.fault is not None:
                kind = report.lost_answers if isinstance(pusher.fault, Lost) else report.failures
                kind.append(f"{when}: {pusher.image}: {pusher.fault!r}"[:600])
                continue
            try:
                patiently(pusher.find_out, client)
                for digest in sorted(pusher.state.blobs):
                    patiently(_check_blob, client, pusher.image, digest, contents, report)
            except Lost as error:
                report.lost_answers.append(f"{when}: {error}")
            except AssertionError as error:
                report.failures.append(f"{when}: {pusher.image}: {error!r}"[:600])
            except (OSError, http.client.HTTPException) as error:
                report.failures.append(f"{when}: {pusher.image}: not answered within {HEALED:.0f} s: {error!r}"[:600])
    finally:
        client.close()


def _check_blob(client: Client, image: str, digest: str, contents: Contents, report: Report) -> None:
    answer = client.request("GET", f"/v2/{image}/blobs/{digest}")
    if answer.status != 200:
        raise Lost(f"{image}@{digest}: {answer.status} {answer.body[:200]!r}")
    report.blobs_checked += 1
    if answer.body != contents.by_digest[digest]:
        report.wrong_bytes.append(f"{image}@{digest}")
