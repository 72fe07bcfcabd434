"""Pushers that do everything at once, and an oracle that knows what each of them was told.

A pusher owns its image and does one thing after the other, so that what the server has to hold is known exactly: after
an answer one state, and when the connection died before the answer one of two, that before or that after. Contents are
drawn from a small pool: pushers meet on the same blobs, and the collector takes some of them away in between.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.crash.wire import Answer, Gone, Wire, path_of
from tests.make import manifest_of, sha256

TAGS = tuple(f"t{number}" for number in range(5))
KEPT_ARTIFACTS = 6
KEPT_UPLOADS = 3


@dataclass(frozen=True)
class State:
    """What an image holds: manifests by digest, and digests by tag."""

    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def pushed(self, tag: str, manifest: bytes) -> State:
        digest = sha256(manifest)
        return State({**self.artifacts, digest: manifest}, {**self.tags, tag: digest})

    def without_tag(self, tag: str) -> State:
        return State(self.artifacts, {name: digest for name, digest in self.tags.items() if name != tag})

    def without_artifact(self, digest: str) -> State:
        return State(
            {one: manifest for one, manifest in self.artifacts.items() if one != digest},
            {name: one for name, one in self.tags.items() if one != digest},
        )

    @property
    def blobs(self) -> set[str]:
        return {digest for manifest in self.artifacts.values() for digest in blobs_of(manifest)}


def blobs_of(manifest: bytes) -> list[str]:
    document = json.loads(manifest)
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]


@dataclass
class Unfinished:
    """An upload that was opened and not ended: what the server said it has, and what the whole would be."""

    path: str
    data: bytes
    answered: int  # bytes
    sent: int  # bytes, the request under way included
    finishing: bool = False
    opened: float = field(default_factory=time.monotonic)


class Contents:
    """Every blob that was ever sent, by digest, and a pool that pushers share."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.by_digest: dict[str, bytes] = {}
        self.pool = [
            self.add(self._random.randbytes(self._random.choice((1, 700, 40_000, 300_000)))) for _ in range(16)
        ]

    def add(self, data: bytes) -> str:
        digest = sha256(data)
        self.by_digest[digest] = data
        return digest


class Pusher(threading.Thread):
    """Works on its image until ``stop`` is set or the server is gone. ``fault`` is what it saw that may not be."""

    def __init__(self, image: str, others: list[str], contents: Contents, *, seed: int, grace: float) -> None:
        super().__init__(name=image, daemon=True)
        self.image = image
        self.state = State()
        self.next: State | None = None
        self.uploads: list[Unfinished] = []
        self.pushes = 0
        self.fault: BaseException | None = None
        self.stop = threading.Event()
        self._others = others
        self._contents = contents
        self._random = random.Random(seed)
        self._grace = grace
        self._port = 0

    def again(self, seed: int) -> Pusher:
        """The same pusher for the next round: a thread can be started once."""
        other = Pusher(self.image, self._others, self._contents, seed=seed, grace=self._grace)
        other.state, other.uploads, other.pushes = self.state, self.uploads, self.pushes
        return other

    def work_on(self, port: int) -> None:
        self._port = port
        self.start()

    def run(self) -> None:
        wire = Wire(self._port)
        try:
            while not self.stop.is_set():
                self._step(wire)
        except Gone:
            pass
        except BaseException as error:  # told by the test's thread
            self.fault = error
        finally:
            wire.close()

    def _step(self, wire: Wire) -> None:
        chosen = self._random.random()
        if chosen < 0.5 or not self.state.artifacts:
            self._push(wire)
        elif chosen < 0.6:
            digest = self._random.choice(list(self.state.artifacts))
            self._tag(wire, self._random.choice(TAGS), self.state.artifacts[digest])
        elif chosen < 0.7 and self.state.tags:
            tag = self._random.choice(list(self.state.tags))
            self._change(wire.request, "DELETE", f"manifests/{tag}", self.state.without_tag(tag))
        elif chosen < 0.8:
            self._delete_artifact(wire)
        elif chosen < 0.87:
            self._delete_blob(wire)
        elif chosen < 0.94:
            self._leave_upload(wire)
        else:
            check_image(wire, self.image, self.state, self._contents, some=self._random)

    def _change(self, request: object, method: str, path: str, after: State) -> None:
        self.next = after
        answer: Answer = request(method, f"/v2/{self.image}/{path}")  # type: ignore[operator]
        assert answer.status == 202, (method, path, answer.status, answer.body)
        self.state, self.next = after, None

    def _delete_artifact(self, wire: Wire) -> None:
        digest = self._random.choice(list(self.state.artifacts))
        self._change(wire.request, "DELETE", f"manifests/{digest}", self.state.without_artifact(digest))

    def _delete_blob(self, wire: Wire) -> None:
        digest = self._random.choice(self._contents.pool)
        answer = wire.request("DELETE", f"/v2/{self.image}/blobs/{digest}")
        expected = {409} if digest in self.state.blobs else {202, 404}
        assert answer.status in expected, ("delete blob", digest, answer.status, answer.body)

    def _push(self, wire: Wire) -> None:
        while len(self.state.artifacts) >= KEPT_ARTIFACTS:
            self._delete_artifact(wire)
        fresh = [self._random.randbytes(self._random.choice((200, 5_000, 100_000))) for _ in range(2)]
        digests = [*(self._contents.add(data) for data in fresh), *self._random.sample(self._contents.pool, 3)]
        for _attempt in range(20):
            begun = time.monotonic()
            for digest in digests:
                self._send_blob(wire, digest)
            config, *layers = (self._contents.by_digest[digest] for digest in digests)
            answer = self._tag(wire, self._random.choice(TAGS), manifest_of(config, layers))
            if answer.status == 201:
                return
            # A blob that was answered is kept for the grace period; after that a client may have to send it again.
            late = time.monotonic() - begun
            assert answer.status == 404, (answer.status, answer.body)
            assert late > self._grace * 0.9, (f"a blob went {late:.2f} s after it was answered", answer.body)
        raise AssertionError("twenty pushes of one image found their blobs collected")

    def _tag(self, wire: Wire, tag: str, manifest: bytes) -> Answer:
        after = self.state.pushed(tag, manifest)
        self.next = after
        answer = wire.manifest(self.image, tag, manifest)
        self.next = None
        if answer.status == 201:
            self.state = after
            self.pushes += 1
        return answer

    def _send_blob(self, wire: Wire, digest: str) -> None:
        data = self._contents.by_digest[digest]
        way = self._random.randrange(5)
        if way == 0:
            wire.blob(self.image, data)
        elif way == 1:  # POST, then PUT with everything
            path = wire.open_upload(self.image)
            created(wire.request("PUT", f"{path}?digest={digest}", data))
        elif way == 2:  # POST, PATCH twice, PUT
            path = wire.open_upload(self.image)
            half = len(data) // 2
            for piece in (data[:half], data[half:]):
                answer = wire.request("PATCH", path, iter([piece]), {"Transfer-Encoding": "chunked"}, chunked=True)
                assert answer.status == 202, (answer.status, answer.body)
            created(wire.request("PUT", f"{path}?digest={digest}"))
        elif way == 3:
            source = self._random.choice(self._others)
            answer = wire.request("POST", f"/v2/{self.image}/blobs/uploads/?mount={digest}&from={source}")
            if answer.status == 202:
                created(wire.request("PUT", f"{path_of(answer)}?digest={digest}", data))
            else:
                created(answer)
        else:  # as most clients: look first
            answer = wire.request("HEAD", f"/v2/{self.image}/blobs/{digest}")
            assert answer.status in (200, 404), answer.status
            if answer.status == 404:
                wire.blob(self.image, data)

    def _leave_upload(self, wire: Wire) -> None:
        if len(self.uploads) >= KEPT_UPLOADS:
            finish(wire, self.uploads.pop(0))
            return
        data = self._random.randbytes(self._random.choice((10, 50_000, 400_000)))
        upload = Unfinished(wire.open_upload(self.image), data, 0, 0)
        self.uploads.append(upload)
        upload.sent = len(data) // 2
        answer = wire.request("PATCH", upload.path, data[: upload.sent])
        assert answer.status == 202, (answer.status, answer.body)
        upload.answered = upload.sent


def created(answer: Answer) -> None:
    assert answer.status == 201, (answer.status, answer.body)


def finish(wire: Wire, upload: Unfinished) -> None:
    """Ask where the upload stands and send the rest, as a client does that comes back."""
    answer = wire.request("GET", upload.path)
    assert answer.status == 204, (answer.status, answer.body)
    start, _, last = answer.headers["range"].partition("-")
    stands = 0 if last == "0" and upload.answered == 0 else int(last) + 1
    assert start == "0"
    assert upload.answered <= stands <= upload.sent, (upload.answered, stands, upload.sent)
    upload.finishing = True
    rest = upload.data[stands:]
    headers = {"Content-Range": f"{stands}-{stands + len(rest) - 1}"} if rest else {}
    created(wire.request("PUT", f"{upload.path}?digest={sha256(upload.data)}", rest, headers))
    name = upload.path.removeprefix("/v2/").partition("/blobs/")[0]
    got = wire.request("GET", f"/v2/{name}/blobs/{sha256(upload.data)}")
    assert (got.status, got.body == upload.data) == (200, True), got.status


#: An upload is answered before its row is durable, since nothing is promised with it: one that was opened so shortly
#: before a kill may be gone. Seconds, many times what a commit takes.
FRESH = 1.0


def settle(wire: Wire, pusher: Pusher, contents: Contents, killed: float) -> None:
    """After a restart: find out which of the two possible states is there, and that it is whole. ``killed``: when."""
    candidates = [pusher.state] + ([pusher.next] if pusher.next is not None else [])
    digests = {digest for state in candidates for digest in state.artifacts}
    found = State(
        {digest: answer.body for digest in sorted(digests) if (answer := _manifest(wire, pusher.image, digest))},
        {tag: sha256(answer.body) for tag in TAGS if (answer := _manifest(wire, pusher.image, tag))},
    )
    assert found in candidates, (
        f"{pusher.image} holds tags {dict(found.tags)} and artifacts {sorted(found.artifacts)}; it was told "
        + " or ".join(f"tags {dict(state.tags)}, artifacts {sorted(state.artifacts)}" for state in candidates)
    )
    pusher.state, pusher.next = found, None
    check_image(wire, pusher.image, found, contents)
    uploads, pusher.uploads = pusher.uploads, []
    for upload in uploads:
        may_be_gone = upload.finishing or upload.opened > killed - FRESH
        if may_be_gone and wire.request("GET", upload.path).status == 404:
            continue
        finish(wire, upload)


def _manifest(wire: Wire, image: str, reference: str) -> Answer | None:
    answer = wire.request("GET", f"/v2/{image}/manifests/{reference}", headers={"Accept": "*/*"})
    assert answer.status in (200, 404), (answer.status, answer.body)
    return answer if answer.status == 200 else None


def check_image(wire: Wire, image: str, state: State, contents: Contents, *, some: random.Random | None = None) -> None:
    """Every tag, manifest and blob byte for byte; of a large state only one artifact, when ``some`` is given."""
    for tag, digest in state.tags.items():
        answer = _manifest(wire, image, tag)
        assert answer is not None, f"{image}:{tag} is gone"
        assert sha256(answer.body) == digest, f"{image}:{tag} is another"
    digests = sorted(state.artifacts)
    if some is not None and digests:
        digests = [some.choice(digests)]
    for blob in sorted({blob for digest in digests for blob in blobs_of(state.artifacts[digest])}):
        answer = wire.request("GET", f"/v2/{image}/blobs/{blob}")
        assert answer.status == 200, f"{image}@{blob}: {answer.status} {answer.body[:300]!r}"
        assert answer.body == contents.by_digest[blob], f"{image}@{blob} has other bytes"
        assert blob == "sha256:" + hashlib.sha256(answer.body).hexdigest()


def pushers(count: int, contents: Contents, *, seed: int, grace: float) -> list[Pusher]:
    images = [f"team/storm{number}" for number in range(count)]
    return [Pusher(image, images, contents, seed=seed + number, grace=grace) for number, image in enumerate(images)]


def faults(crew: list[Pusher]) -> Iterator[str]:
    for pusher in crew:
        if pusher.fault is not None:
            yield f"{pusher.image}: {pusher.fault!r}"
