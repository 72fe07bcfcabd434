"""Requests made up from the OpenAPI document, right ones and wrong ones: always HTTP 200 and the envelope, no failure.

Schemathesis makes the requests and checks each answer against the document. The short form makes the same requests each
time; ``make soak`` makes many more, others every time. What it does not think of is below it: strings that break
parsers, bodies that are no JSON, and many changes of one thing at a time.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPConnection
from typing import Any, cast

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from naru.core.errors import NaruError
from naru.web.api import document
from naru.web.api.app import build_api
from naru.web.api.envelope import CODES
from naru.web.api.routing import PROJECT
from tests.api.test_openapi import PUBLISHED
from tests.make import OCI_MANIFEST, manifest_of, sha256
from tests.server import ACCESS_KEY, SECRET_KEY, Server, running

FAILED = CODES[NaruError]
APPKEY = "appkey-of-the-tests"
DOCUMENT = build_api(cast(Any, None)).openapi()
OPERATIONS = [(method, path) for path, method, _operation in document.operations(DOCUMENT)]
SIGNED_IN = {"X-TC-AUTHENTICATION-ID": ACCESS_KEY, "X-TC-AUTHENTICATION-SECRET": SECRET_KEY}
#: What half of the requests name: things that are there. Users and keys stay made up, so that the test's own stay.
THERE = {"registryNameOrId": "team", "registryName": "team", "registryId": "1", "imageName": "app", "reference": "1.0"}
OWN_USER = {"userId": 1, "projectId": 1}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("fuzzed") / "data"
    with running(data, NARU_BOOTSTRAP_APPKEY=APPKEY, NARU_LIMIT_REGISTRIES="1000", NARU_ACCESS_LOG="off") as server:
        push_image(server)
        yield server
        log = server.log.read_text()
        assert "Traceback" not in log, log[-6000:]


def push_image(server: Server) -> None:
    """``team/app:1.0``, so that there is something to show."""
    base, sign_in = f"http://{server.host}/v2/team/app", (ACCESS_KEY, SECRET_KEY)
    config, layer = b'{"architecture": "amd64", "os": "linux"}', b"a layer"
    for blob in (config, layer):
        requests.post(f"{base}/blobs/uploads/?digest={sha256(blob)}", blob, auth=sign_in, timeout=30).raise_for_status()
    kind = {"Content-Type": OCI_MANIFEST}
    manifest = manifest_of(config, [layer])
    requests.put(f"{base}/manifests/1.0", manifest, auth=sign_in, headers=kind, timeout=30).raise_for_status()


@dataclass(frozen=True)
class Sender:
    """Sends what Schemathesis makes up, and looks at the answer."""

    server: Server
    session: requests.Session

    def send(self, case: Any, *, there: bool) -> None:
        import schemathesis  # noqa: PLC0415 - it takes a second to load, and one file needs it
        from schemathesis.specs.openapi import checks  # noqa: PLC0415

        parameters = case.path_parameters
        if "appKey" in parameters:
            parameters["appKey"] = APPKEY
        for name in parameters:
            if there and name in THERE:
                parameters[name] = THERE[name]
            if name in OWN_USER and str(parameters[name]).strip() in {"1", "+1", "01"}:
                parameters[name] = 999_999
        try:
            answer = case.call(base_url=f"http://{self.server.host}", headers=SIGNED_IN, session=self.session)
        except (requests.exceptions.InvalidHeader, UnicodeError, ValueError):
            return  # no client could send it
        if case.path.startswith("/ncr/"):
            assert answer.status_code == 200, answer.content[:500]
            if answer.headers["content-type"] == ["application/json"] and "/export" not in case.path:
                check_envelope(json.loads(answer.content))
        case.validate_response(
            answer,
            checks=[
                schemathesis.checks.not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )


def check_envelope(answer: Any) -> int:
    header = answer["header"]
    assert header.keys() == {"isSuccessful", "resultCode", "resultMessage"}
    assert header["isSuccessful"] == (header["resultCode"] == 200)
    assert header["resultCode"] in {200, *CODES.values()}, header
    assert header["resultCode"] != FAILED, header
    if not header["isSuccessful"]:
        assert answer.keys() == {"header"}
        assert header["resultMessage"]
    return int(header["resultCode"])


@lru_cache
def schema() -> Any:
    import schemathesis  # noqa: PLC0415

    return schemathesis.openapi.from_dict(DOCUMENT)


def fuzz(server: Server, method: str, path: str, *, examples: int, seeded: bool) -> None:
    import schemathesis  # noqa: PLC0415

    operation = schema()[path][method]
    with requests.Session() as session:
        sender = Sender(server, session)
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if mode is schemathesis.GenerationMode.NEGATIVE and not has_input(method, path):
                continue

            @settings(
                max_examples=examples,
                derandomize=seeded,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.generate,) if seeded else (Phase.generate, Phase.shrink),
            )
            @given(case=operation.as_strategy(generation_mode=mode), there=st.booleans())
            def each(case: Any, there: bool) -> None:
                sender.send(case, there=there)

            each()


def has_input(method: str, path: str) -> bool:
    operation = DOCUMENT["paths"][path][method.lower()]
    return bool(operation.get("parameters") or operation.get("requestBody"))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_made_up_requests(fuzzed: Server, method: str, path: str) -> None:
    fuzz(fuzzed, method, path, examples=3, seeded=True)


@pytest.mark.soak
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_many_made_up_requests(fuzzed: Server, method: str, path: str) -> None:
    fuzz(fuzzed, method, path, examples=300, seeded=False)


# What breaks parsers

#: Raw JSON of a string, and of other values where a string belongs.
ODD = (
    r'"\u0000"',
    r'"a\u0000b"',
    r'"\ud800"',
    r'"\udc00\ud800"',
    r'"\uffff"',
    r'"\u202e\u0000"',
    '"' + "x" * 100_000 + '"',
    '"\U0001f600"',
    '""',
    '"../../etc/passwd"',
    '"1e400"',
    "1e400",
    "123456789012345678901234567890",
    "-0.0",
    "NaN",
    "Infinity",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[]]]]",
    '{"__proto__": 1, "__class__": "x"}',
)
BODIES = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe{\x00}\x00",
    b'\xef\xbb\xbf{"name": "x"}',
    b'{"name": "\xff"}',
    b'{"name": "a", "name": "b"}',
    b"[" * 100_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b"1" * 10_000,
)


class Raw(HTTPConnection):
    """Sends addresses as they are, whatever they hold."""

    def _validate_path(self, url: str) -> None:
        pass


def ask(server: Server, method: str, path: str, body: bytes | None, kind: str = "application/json") -> int:
    """The code of the answer, which is an envelope."""
    headers = SIGNED_IN | ({"Content-Type": kind} if body is not None else {})
    with closing(Raw("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    assert answer.status == 200, (method, path, content[:300])
    return check_envelope(json.loads(content))


def some(items: Sequence[str], number: int, *, thorough: bool) -> Sequence[str]:
    """All; or in the short form five, which are others for each ``number``."""
    start = number * 5 % len(items)
    return items if thorough else [*items, *items][start : start + 5]


THOROUGH = pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.soak)])


def filled(path: str) -> str:
    for part in path.split("/"):
        if part.startswith("{"):
            path = path.replace(part, APPKEY if part == "{appKey}" else THERE.get(part[1:-1], "999999"))
    return path


WITH_BODY = [
    (path, method, operation)
    for path, method, operation in document.operations(DOCUMENT)
    if "requestBody" in operation and path.startswith("/ncr/")
]


@THOROUGH
def test_odd_values_in_every_field(fuzzed: Server, thorough: bool) -> None:
    """Each field of the example in turn; and each body as a whole."""
    number = 0
    for path, method, operation in WITH_BODY:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        target = filled(path)
        for name in example:
            number += 1
            others = "".join(f", {json.dumps(key)}: {json.dumps(one)}" for key, one in example.items() if key != name)
            for odd in some(ODD, number, thorough=thorough):
                ask(fuzzed, method, target, f"{{{json.dumps(name)}: {odd}{others}}}".encode())
        for index, body in enumerate(BODIES):
            if thorough or (index + number) % 3 == 0:
                ask(fuzzed, method, target, body)
                ask(fuzzed, method, target, body, "text/plain")


SEGMENTS = (
    *("%00", "a%00b", "%ff%fe", "%ed%a0%80", "..", "%2e%2e", "%2F", "%252F", "a%2F%2Fb", "%", "%zz", "x" * 3000, "''"),
    *("0", "-1", "1e5", "007", "9" * 18, "9" * 19, "9" * 400, "%D9%A1", "0x1", "%201", "1%20", "%0a1", "true"),
)


@THOROUGH
def test_odd_names_in_every_path(fuzzed: Server, thorough: bool) -> None:
    for number, (method, path) in enumerate(OPERATIONS):
        if path.startswith("/ncr/") and "{" in path.replace("{appKey}", ""):
            *_, parameter = [part for part in path.split("/") if part.startswith("{")]
            for segment in some(SEGMENTS, number, thorough=thorough):
                ask(fuzzed, method, filled(path.replace(parameter, "@")).replace("@", segment), None)


QUERIES = (
    "page=0",
    "page=-1",
    "page=99999999999999999999",
    "page=1e3",
    "page_size=1000000000000",
    "page_size=-5",
    "page_size=NaN",
    "page=1000000&page_size=100",
    "q=%00",
    "q=%ff",
    "q=%ED%A0%80",
    "q=" + "x" * 5000,
    "q='%20OR%201=1--",
    "sort=secret_hash",
    "sort=name;DROP%20TABLE%20users",
    "sort=-",
    "sort=%00",
    "page=1&page=2",
    "unknown=1",
    "with_accessory=%00",
    "from=-999999999999999&to=99999999999999999999",
    "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59%2B14:00",
    "cursor=%00",
    "id=%00",
    "&&&===",
)


@THOROUGH
def test_odd_queries_everywhere(fuzzed: Server, thorough: bool) -> None:
    """More pages than there are is an empty page; what is no number, and numbers that no page has, are refused."""
    seen: Counter[int] = Counter()
    for number, (method, path) in enumerate(OPERATIONS):
        if method == "GET" and path.startswith("/ncr/") and not path.endswith("/export"):
            for query in some(QUERIES, number, thorough=thorough):
                seen[ask(fuzzed, method, f"{filled(path)}?{query}", None)] += 1
    assert seen[200]
    assert seen[10001]


def test_changes_of_one_thing_at_a_time(fuzzed: Server) -> None:
    """Eight clients make, change and delete the same registry: each is told how it went, and none of a failure."""
    base = PROJECT.replace("{appKey}", APPKEY)
    seen: Counter[int] = Counter()
    lock = threading.Lock()

    def work(number: int) -> None:
        for _ in range(6):
            for method, path, body in (
                ("POST", "/registries", {"project_name": "contested"}),
                ("PUT", "/registries/contested", {"metadata": {"severity": "high"}, "cve_allowlist": {"items": []}}),
                ("PUT", "/CVEAllowlist", {"items": [{"cve_id": f"CVE-2024-{number}"}]}),
                ("GET", "/registries/contested", None),
                ("DELETE", "/registries/contested", None),
            ):
                data = None if body is None else json.dumps(body).encode()
                code = ask(fuzzed, method, base + path, data)
                with lock:
                    seen[code] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert seen.keys() <= {200, 10005, 10102}, seen
    assert seen[200]


def test_the_server_was_never_signed_out(fuzzed: Server) -> None:
    """Last: what came before did not lock the key out, so that it was the operations that were tested."""
    assert ask(fuzzed, "GET", f"{PROJECT.replace('{appKey}', APPKEY)}/registries", None) == 200
    assert {PROJECT + one["path"] for one in PUBLISHED} <= {path for _method, path in OPERATIONS}


def test_the_checks_can_fail() -> None:
    good: dict[str, dict[str, Any]] = {"header": {"isSuccessful": True, "resultCode": 200, "resultMessage": "SUCCESS"}}
    assert check_envelope(good) == 200
    for change in ({"resultCode": 10000, "isSuccessful": False}, {"resultCode": 1}, {"isSuccessful": False}):
        with pytest.raises(AssertionError):
            check_envelope({"header": good["header"] | change})
