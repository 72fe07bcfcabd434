"""A fuzz target for the path router: ``python -m tests.fuzz.router [--seconds 60] [--seed 1]``.

With atheris installed it is guided by coverage (arguments are then libFuzzer's); without, seeded mutations of sound
paths run for as long as asked. What fails is printed with the input, to become a case in ``tests/web/test_names.py``.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from naru.core.digest import Digest
from naru.core.errors import NaruError
from naru.core.names import MAX_NAME, RepositoryName
from naru.web.http import Request
from naru.web.oci import routes

METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "get", "", "G" * 500]
HOSTS = ["", "registry.test", "[::1]:5000", "r" * 250, "\N{LATIN SMALL LETTER E WITH ACUTE}"]
DIGEST = str(Digest.of(b""))
NAMES = ["team/app", "a/b", "team/a/manifests/b", "team/x/blobs/uploads", "tags/list", "team/a/referrers/b", "v2/v2"]
TAILS = ["manifests/1.0", f"manifests/{DIGEST}", f"blobs/{DIGEST}", "blobs/uploads/", "blobs/uploads", "tags/list"]
TAILS += [f"blobs/uploads/{'0' * 32}", f"referrers/{DIGEST}", f"manifests/{DIGEST.replace(':', '%3A')}"]
SEEDS = [f"/v2/{name}/{tail}".encode() for name in NAMES for tail in TAILS]
TOKENS = [b"/", b"//", b"..", b".", b"%2e%2e", b"%2F", b"%3A", b"%3a", b"%", b"%00", b"\0", b"\r\n", b"\\", b":", b"@"]
TOKENS += [b"?", b"#", b";", b" ", b"\xff", b"\xc3\xa4", b"manifests", b"blobs", b"uploads", b"tags", b"list", b"v2"]
TOKENS += [b"referrers", b"_catalog", b"-", b"--", b"_", b"___", b"A", b"a" * 300, b"a/" * 200, DIGEST.encode()]


async def _nothing(*_arguments: Any) -> Any:
    raise AssertionError("a path is read without the request's body, and nothing is answered")


def _request(path: bytes, method: str) -> Request:
    scope = {
        "type": "http",
        "method": method,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": b"",
        "headers": [],
    }
    return Request(scope, _nothing, _nothing, listener="public", request_id="fuzz", body_timeout=1)


def check(path: bytes, method: str, host: str) -> bool:
    """Route it; whether it led to a handler. Any exception that comes out of here is a find."""
    request = _request(path, method)
    try:
        clean = routes.clean_path(request)
        target = routes.read_path(clean)
        row = routes.route(target, method)
        name = RepositoryName.parse(target.name, host)
    except NaruError as error:
        assert 400 <= error.status < 500, error
        assert len(error.message) < 1000, "a message is bounded"
        error.message.encode()
        return False
    # What was found is the whole path, in one way only.
    assert str(name) == target.name
    assert len(f"{host}/{name}" if host else str(name)) <= MAX_NAME
    assert not {"", ".", ".."} & set(target.name.split("/"))
    rebuilt = row.pattern.replace("{name}", target.name)
    for placeholder in ("{reference}", "{digest}", "{id}"):
        rebuilt = rebuilt.replace(placeholder, target.last)
    assert clean in {rebuilt, rebuilt.removesuffix("/")}, (clean, rebuilt)
    assert (row.method, row.kind) == (method, target.kind)
    assert "/" not in target.last
    return True


def mutated(rng: random.Random) -> bytes:
    path = rng.choice(SEEDS)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(path) + 1)
        end = min(len(path), at + rng.choice([0, 0, 1, 4, 20]))
        other = rng.choice(SEEDS)
        start = rng.randrange(len(other))
        middle = [b"", rng.choice(TOKENS), rng.randbytes(1), path[at:end] * 2, other[start : start + rng.randrange(40)]]
        path = path[:at] + rng.choice(middle) + path[end:]
    return path if path.startswith(b"/v2/") else b"/v2/" + path


@dataclass
class Tally:
    routed: int = 0
    refused: int = 0


def run(seconds: float, seed: int) -> Tally:
    """Mutate and check until the time is over; the input is added to what fails."""
    rng = random.Random(seed)
    tally = Tally()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        path, method, host = mutated(rng), rng.choice(METHODS), rng.choice(HOSTS)
        try:
            routed = check(path, method, host)
        except Exception as error:
            error.add_note(f"seed {seed}, input: check({path!r}, {method!r}, {host!r})")
            raise
        tally.routed += routed
        tally.refused += not routed
    return tally


def _one_input(data: bytes) -> None:
    """An input of libFuzzer: the first byte chooses the method, the second the host."""
    method = METHODS[data[0] % len(METHODS)] if data else "GET"
    host = HOSTS[data[1] % len(HOSTS)] if len(data) > 1 else ""
    check(b"/v2/" + data[2:], method, host)


def main(arguments: list[str]) -> int:
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        parser = argparse.ArgumentParser(prog="python -m tests.fuzz.router", description=__doc__)
        parser.add_argument("--seconds", type=float, default=60)
        parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
        options = parser.parse_args(arguments[1:])
        tally = run(options.seconds, options.seed)
        print(f"seed {options.seed}: {tally.routed} paths routed, {tally.refused} refused, none failed")
        return 0
    target: Callable[[bytes], None] = _one_input
    atheris.instrument_all()
    atheris.Setup(arguments, target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
