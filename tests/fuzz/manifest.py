"""A fuzz target for the manifest parser: ``python -m tests.fuzz.manifest [--seconds 60] [--seed 1]``.

With atheris installed it is guided by coverage (arguments are then libFuzzer's); without, seeded mutations of sound
manifests run for as long as asked. What fails is printed with the input, to become a case in ``tests/core``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from naru.core import manifest as manifests
from naru.core.digest import Digest
from naru.core.errors import ManifestInvalid, ManifestTooLarge
from tests.core.documents import descriptor, docker_image, docker_list, encoded, image, index

CONTENT_TYPES: list[str | None] = [None, *manifests.KINDS, "application/json", f"{manifests.OCI_IMAGE}; charset=utf-8"]
SEEDS = [
    encoded(document)
    for document in (
        image(),
        index(),
        docker_image(),
        docker_list(),
        image(subject=descriptor("s", manifests.OCI_IMAGE), annotations={"a": "나루"}, artifactType="application/x"),
        image(config=descriptor("{}", manifests.OCI_EMPTY, data="e30="), layers=[]),
        image(
            layers=[descriptor(kind, kind, urls=["https://x.example/"]) for kind in sorted(manifests.NON_DISTRIBUTABLE)]
        ),
    )
]
TOKENS = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"null", b"true", b"0", b"-1", b"1e400", b"NaN", b"2", b"\0"]
TOKENS += [b"\xff", rb"\ud800", rb"\u0000", b'"size":', b'"layers":', b'"manifests":', b'"mediaType":', b"[" * 100]
TOKENS += [b"9" * 30, b'"x":{"x":1},', str(Digest.of(b"")).encode(), b"9223372036854775807", b"\xef\xbb\xbf", b" "]
ODD_VALUES: list[Any] = [None, True, 0, -1, 2**63, 1.5, "", "x", [], {}, [[]], {"a": None}, "sha256:", "\ud800", "/"]


def check(content_type: str | None, body: bytes) -> bool:
    """Parse; whether it was accepted. Any exception that comes out of here is a find."""
    try:
        manifest = manifests.parse(content_type, body)
    except (ManifestInvalid, ManifestTooLarge) as error:
        message = error.message.encode()
        assert len(message) < 4000, "a message is bounded"
        return False
    document = json.loads(body)  # another reader must agree on what counts
    assert document["schemaVersion"] == 2
    assert document.get("mediaType") in {None, manifest.media_type}
    assert manifest.kind == manifests.KINDS[manifest.media_type]
    assert (manifest.kind == "image") == ("config" in document and "manifests" not in document)
    listed = document["layers"] if manifest.kind == "image" else document["manifests"]
    content = manifest.layers or manifest.children
    assert [str(item.digest) for item in content] == [item["digest"] for item in listed or []]
    assert all(Digest.parse(str(item.digest)) == item.digest for item in content)
    assert 0 <= manifest.size <= manifests.MAX_SIZE
    assert {blob.digest for blob in manifest.required_blobs} <= {
        item.digest for item in (*manifest.layers, *filter(None, [manifest.config]))
    }
    json.dumps([manifest.annotations, manifest.artifact_type], ensure_ascii=False).encode()
    assert manifests.parse(manifest.media_type, body) == manifest
    return True


def _mutated_bytes(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    end = min(len(body), at + rng.choice([0, 1, 1, 4, 40]))
    other = rng.choice(SEEDS)
    start = rng.randrange(len(other))
    middle = rng.choice(
        [b"", rng.choice(TOKENS), rng.randbytes(1), body[at:end] * 2, other[start : start + rng.randrange(200)]]
    )
    return body[:at] + middle + body[end:]


def _mutated_tree(rng: random.Random, body: bytes) -> bytes:
    """One member of one object or list, replaced, doubled, renamed or taken away."""
    try:
        node = document = json.loads(body)
    except ValueError:
        return body
    while isinstance(node, dict | list) and node:
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.7:
            node = node[key]
            continue
        action = rng.randrange(4)
        if action == 0:
            del node[key]
        elif action == 1 and isinstance(node, dict):
            node[rng.choice([str(key).upper(), "config", "layers", "manifests", "data"])] = node[key]
        elif action == 2 and isinstance(node, list):
            node.append(node[key])
        else:
            node[key] = rng.choice(ODD_VALUES)
        break
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def mutated(rng: random.Random) -> bytes:
    body = rng.choice(SEEDS)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 8])):
        body = rng.choice([_mutated_bytes, _mutated_tree])(rng, body)
    return body


@dataclass
class Tally:
    accepted: int = 0
    refused: int = 0


def run(seconds: float, seed: int) -> Tally:
    """Mutate and check until the time is over; the input is added to what fails."""
    rng = random.Random(seed)
    tally = Tally()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content_type, body = rng.choice(CONTENT_TYPES), mutated(rng)
        try:
            accepted = check(content_type, body)
        except Exception as error:
            error.add_note(f"seed {seed}, input: check({content_type!r}, {body!r})")
            raise
        tally.accepted += accepted
        tally.refused += not accepted
    return tally


def _one_input(data: bytes) -> None:
    """An input of libFuzzer: the first byte chooses the Content-Type."""
    check(CONTENT_TYPES[data[0] % len(CONTENT_TYPES)] if data else None, data[1:])


def main(arguments: list[str]) -> int:
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        parser = argparse.ArgumentParser(prog="python -m tests.fuzz.manifest", description=__doc__)
        parser.add_argument("--seconds", type=float, default=60)
        parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
        options = parser.parse_args(arguments[1:])
        tally = run(options.seconds, options.seed)
        print(f"seed {options.seed}: {tally.accepted} inputs accepted, {tally.refused} refused, none failed")
        return 0
    target: Callable[[bytes], None] = _one_input
    atheris.instrument_all()
    atheris.Setup(arguments, target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
