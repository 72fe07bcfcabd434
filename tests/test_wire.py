"""HTTP as bytes on a socket: what a client cannot say through a library, and what becomes of the connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tests import make
from tests.asgi import basic
from tests.server import ACCESS_KEY, SECRET_KEY, Server
from tests.wire import PING, Wire, wire

SIGNED_IN = f"Authorization: {basic(ACCESS_KEY, SECRET_KEY)}"
NO_UPLOAD = "/v2/team/wire/blobs/uploads/" + "0" * 32
MANIFEST = f"Content-Type: {make.OCI_MANIFEST}"
MIB = 1024 * 1024


# Framing: what could be read in two ways is refused, and nothing after it on the connection is believed.

FRAMING: Sequence[tuple[str, list[str], bytes]] = [
    ("two lengths that differ", ["Content-Length: 5", "Content-Length: 6"], b"hello!"),
    ("a list of lengths", ["Content-Length: 5, 5"], b"hello"),
    ("a negative length", ["Content-Length: -5"], b"hello"),
    ("a length with a sign", ["Content-Length: +5"], b"hello"),
    ("a length in hex", ["Content-Length: 0x5"], b"hello"),
    ("a length beyond 64 bits", ["Content-Length: 99999999999999999999999"], b"hello"),
    ("an empty length", ["Content-Length: "], b""),
    ("an unknown coding", ["Transfer-Encoding: xchunked"], b"0\r\n\r\n"),
    ("the coding identity", ["Transfer-Encoding: identity"], b"hello"),
    ("chunked is not the last coding", ["Transfer-Encoding: chunked, identity"], b"0\r\n\r\n"),
    ("a coding before chunked", ["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n"),
    ("two codings in two lines", ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    ("a folded header", ["X-A: b", " c"], b""),
    ("a space before the colon", ["Content-Length : 5"], b"hello"),
    ("a carriage return in a header", ["X-A: b\rc"], b""),
    ("a NUL in a header", ["X-A: b\0c"], b""),
    ("a header without a name", [": b"], b""),
    ("a second Host", ["Host: registry.example"], b""),
    ("a second Authorization", [SIGNED_IN], b""),
    ("a second Content-Range", ["Content-Range: 0-4", "Content-Range: 5-9", "Content-Length: 5"], b"hello"),
]


@pytest.mark.parametrize(("headers", "body"), [row[1:] for row in FRAMING], ids=[row[0] for row in FRAMING])
def test_a_request_that_can_be_read_in_two_ways(server: Server, headers: list[str], body: bytes) -> None:
    with wire(server) as connection:
        connection.request("POST /v2/team/wire/blobs/uploads/ HTTP/1.1", SIGNED_IN, *headers, body=body)
        answer = connection.reply()
        assert (answer.status, answer.closes) == (400, True)
        assert connection.ended()


@pytest.mark.parametrize("order", [1, -1])
def test_a_length_beside_chunks_smuggles_nothing(server: Server, order: int) -> None:
    """RFC 9112 section 6.1: the chunks count, and the connection ends: what looks like a next request is none."""
    both = ["Content-Length: 5", "Transfer-Encoding: chunked"][::order]
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with wire(server) as connection:
        connection.request("POST /v2/team/wire/blobs/uploads/ HTTP/1.1", SIGNED_IN, *both, body=smuggled)
        answer = connection.reply()
        assert answer.status in {202, 400}
        assert answer.closes
        assert connection.ended()


CHUNKS = {
    "no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "no line end after the data": b"5\r\nhelloXX0\r\n\r\n",
    "100 KB of extensions": b"5;x=" + b"y" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    "broken off": b"5\r\nhel",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
def test_a_broken_chunk_stores_nothing(server: Server, chunks: bytes) -> None:
    digest = make.sha256(b"hello")
    target = f"/v2/team/chunks/blobs/uploads/?digest={digest}"
    with wire(server) as connection:
        connection.request(f"POST {target} HTTP/1.1", SIGNED_IN, "Transfer-Encoding: chunked", body=chunks)
        with suppress(OSError):  # the server may have ended it by now
            connection.socket.shutdown(socket.SHUT_WR)
        assert connection.reply().status in {0, 400}
        assert connection.ended()
    with wire(server) as connection:
        connection.request(f"HEAD /v2/team/chunks/blobs/{digest} HTTP/1.1", SIGNED_IN)
        assert connection.reply(head=True).status == 404


def test_trailers_change_nothing(server: Server) -> None:
    target = f"/v2/team/wire/blobs/uploads/?digest={make.sha256(b'hello')}"
    body = b"5\r\nhello\r\n0\r\nContent-Length: 99\r\nAuthorization: Basic eDp5\r\n\r\n"
    with wire(server) as connection:
        connection.request(f"POST {target} HTTP/1.1", SIGNED_IN, "Transfer-Encoding: chunked", body=body)
        assert connection.reply().status == 201
        assert connection.still_works()


def test_a_body_that_nobody_reads_is_no_request(server: Server) -> None:
    hidden = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
    rows = [("GET", "/healthz", 200), ("HEAD", "/healthz", 200), ("DELETE", "/v2/team/wire/manifests/none", 404)]
    rows += [("POST", "/v2/team/wire/blobs/uploads/", 202), ("GET", "/v2/team/wire/tags/list", 200)]
    for method, path, status in rows:
        with wire(server) as connection:
            line = f"{method} {path} HTTP/1.1"
            connection.request(line, SIGNED_IN, f"Content-Length: {len(hidden)}", body=hidden)
            assert connection.reply(head=method == "HEAD").status == status, line
            assert connection.still_works(), line


# Heads.


def test_floods_of_headers(server: Server) -> None:
    rows = {
        "many": ([f"X-{number}: 1" for number in range(120)], {400, 431}),
        "a million bytes": (["X-A: " + "a" * MIB], {431}),
        "a megabyte of authorization": (["Authorization: Basic " + "a" * MIB], {431}),
        "a lot of authorization": (["Authorization: Basic " + "a" * 100_000], {401}),
        "a path of 64 KiB": (["/v2/team/" + "a" * 65_400 + "/tags/list"], {400}),
        "a path of 70 KiB": (["/v2/team/" + "a" * 70_000 + "/tags/list"], {414}),
    }
    for name, (headers, statuses) in rows.items():
        target = headers.pop() if headers[0].startswith("/") else "/v2/"
        with wire(server) as connection:
            connection.request(f"GET {target} HTTP/1.1", *headers)
            assert connection.reply().status in statuses, name


TARGETS: Sequence[tuple[str, int]] = [
    ("GET /v2/team/../../etc/passwd HTTP/1.1", 404),
    ("GET /v2/team/a\0/tags/list HTTP/1.1", 400),
    ("GET /v2/team/a%00/tags/list HTTP/1.1", 400),
    ("GET /v2/team/a%0d%0aX:%20y/tags/list HTTP/1.1", 400),
    ("GET /v2/team/%2e%2e/tags/list HTTP/1.1", 400),
    ("GET /v2/team%2fa/tags/list HTTP/1.1", 400),
    ("GET /v2/team/a\\..\\b/tags/list HTTP/1.1", 400),
    ("GET /v2/team/\xc3\xa4/tags/list HTTP/1.1", 400),
    ("GET /v2/team/\xff/tags/list HTTP/1.1", 400),
    ("GET /v2/team/%ff/tags/list HTTP/1.1", 400),
    ("GET /v2/team/a/tags/list?last=\xff HTTP/1.1", 400),
    ("GET /v2/team/a/tags/list?last=%ff HTTP/1.1", 400),
    ("GET /v2/team/a b/tags/list HTTP/1.1", 400),
    ("GET //v2/team/a/tags/list HTTP/1.1", 404),
    ("GET /%76%32/team/a/tags/list HTTP/1.1", 400),
    ("GET v2/team/a/tags/list HTTP/1.1", 400),
    ("CONNECT registry.example:443 HTTP/1.1", 404),
    ("OPTIONS * HTTP/1.1", 404),
    ("TRACE /v2/team/a/tags/list HTTP/1.1", 405),
    ("get /v2/team/a/tags/list HTTP/1.1", 405),
    ("GET /v2/team/a/tags/list HTTP/3.0", 400),
    ("GET /v2/team/a/tags/list", 400),
]


@pytest.mark.parametrize(("line", "status"), TARGETS)
def test_odd_request_lines(server: Server, line: str, status: int) -> None:
    with wire(server) as connection:
        connection.request(line, SIGNED_IN)
        answer = connection.reply()
        assert answer.status == status
        assert connection.ended() if answer.closes else connection.still_works()


def test_http_1_1_needs_a_host(server: Server) -> None:
    with wire(server) as connection:
        connection.request("GET /v2/ HTTP/1.1", SIGNED_IN, host=None)
        assert connection.reply().status == 400
    with wire(server) as connection:
        connection.request("GET /v2/ HTTP/1.0", SIGNED_IN, host=None)
        assert connection.reply().status == 200
        assert connection.ended()


def test_http_2_is_not_spoken_on_the_plain_port(server: Server) -> None:
    with wire(server) as connection:
        connection.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert connection.reply().status in {0, 400, 505}
        assert connection.ended()
    with wire(server) as connection:
        upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]
        connection.request("GET /v2/ HTTP/1.1", SIGNED_IN, *upgrade)
        assert connection.reply().status == 200


def test_an_absolute_target_is_a_path_of_this_server(server: Server) -> None:
    with wire(server) as connection:
        connection.request("GET http://registry.example/v2/ HTTP/1.1")
        answer = connection.reply()
        assert answer.status == 401
        assert "registry.example" not in answer.headers["www-authenticate"]


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with wire(server) as connection:
        for number in range(20):
            connection.request("GET /v2/team/none/manifests/none HTTP/1.1", SIGNED_IN, f"X-Request-Id: n{number}")
            connection.request(PING, f"X-Request-Id: p{number}")
        for number in range(20):
            first, second = connection.reply(), connection.reply()
            assert (first.status, first.headers["x-request-id"]) == (404, f"n{number}")
            assert (second.status, second.headers["x-request-id"]) == (200, f"p{number}")


# Expect: 100-continue.


def test_expect_is_answered_before_the_body(server: Server) -> None:
    length = f"Content-Length: {50 * MIB}"
    with wire(server) as connection:
        connection.request(f"PATCH {NO_UPLOAD} HTTP/1.1", SIGNED_IN, "Expect: 100-continue", length)
        answer = connection.reply()
        assert (answer.status, answer.closes) == (404, True)
        assert connection.ended()
    target = f"POST /v2/team/wire/blobs/uploads/?digest={make.sha256(b'hello')} HTTP/1.1"
    with wire(server) as connection:
        connection.request(target, SIGNED_IN, "Expect: 100-continue", "Content-Length: 5")
        assert connection.reply().status == 100
        connection.socket.sendall(b"hello")
        assert connection.reply().status == 201
        assert connection.still_works()


# After a refusal.

REFUSALS: Sequence[tuple[int, str, list[str]]] = [
    (401, "PUT /v2/team/wire/manifests/a HTTP/1.1", [MANIFEST]),
    (404, "PUT /v2/no-such/wire/manifests/a HTTP/1.1", [SIGNED_IN, MANIFEST]),
    (404, f"PATCH {NO_UPLOAD} HTTP/1.1", [SIGNED_IN]),
    (404, f"PUT {NO_UPLOAD}?digest=sha256:{'0' * 64} HTTP/1.1", [SIGNED_IN]),
    (404, "DELETE /v2/team/wire/manifests/none HTTP/1.1", [SIGNED_IN]),
    (400, "PUT /v2/team/Wire/manifests/a HTTP/1.1", [SIGNED_IN, MANIFEST]),
    (405, "PUT /v2/team/wire/tags/list HTTP/1.1", [SIGNED_IN]),
]


WRONG = f"sha256:{'0' * 64}"
#: Refused after the body was read.
READ: Sequence[tuple[int, str, list[str]]] = [
    (400, f"POST /v2/team/wire/blobs/uploads/?digest={WRONG} HTTP/1.1", [SIGNED_IN]),
    (400, "PUT /v2/team/wire/manifests/a HTTP/1.1", [SIGNED_IN, MANIFEST]),
    (400, f"PUT /v2/team/wire/manifests/{WRONG} HTTP/1.1", [SIGNED_IN, MANIFEST]),
    (400, "POST /service/token HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"]),
]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(("status", "line", "headers"), [*REFUSALS, *READ])
def test_the_connection_goes_on_after_a_refusal(
    server: Server, status: int, line: str, headers: list[str], chunked: bool
) -> None:
    """A small body is read off."""
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 5"
    with wire(server) as connection:
        for _ in range(3):
            connection.request(line, *headers, framing, body=b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello")
            answer = connection.reply()
            assert (answer.status, answer.closes) == (status, False)
        assert connection.still_works()


@pytest.mark.parametrize(
    ("status", "line", "headers"),
    [
        *REFUSALS,
        (413, "PUT /v2/team/wire/manifests/a HTTP/1.1", [SIGNED_IN, MANIFEST]),
        (413, "POST /service/token HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"]),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_sends_all_before_it_reads_gets_its_refusal(
    server: Server, status: int, line: str, headers: list[str], chunked: bool
) -> None:
    """Closing at once would break the pipe under the client, and a reset could take the answer away."""
    size = 10 * MIB
    with wire(server) as connection:
        connection.request(line, *headers, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}")
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if chunked else b"x" * 65536
        total = size // 65536 * len(piece)
        assert connection.flood(total, piece) == total
        if chunked:
            connection.socket.sendall(b"0\r\n\r\n")
        answer = connection.reply()
        assert (answer.status, answer.closes) == (status, True)
        assert connection.ended()


def test_a_manifest_without_end_is_refused_while_it_comes(server: Server) -> None:
    with wire(server) as connection:
        line = "PUT /v2/team/wire/manifests/endless HTTP/1.1"
        connection.request(line, SIGNED_IN, MANIFEST, "Transfer-Encoding: chunked")
        connection.flood(6 * MIB // 65536 * 65545, b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert connection.reply().status == 413  # no end was sent


# What the process is like after all that, and where its listeners end.


def test_a_private_registry_and_a_forged_request(server: Server) -> None:
    """On the public socket nothing that a client can say leads to a registry whose Public URI is off."""
    made = server.naru("registry", "create", "hidden", "--private-only")
    assert made.returncode == 0, made.stderr
    inner = f"127.0.0.1:{server.private_port}"
    rows: list[tuple[str, str | None, list[str]]] = [
        ("/v2/hidden/app/tags/list", None, []),
        ("/v2/hidden/app/tags/list", inner, []),
        ("/v2/hidden/app/tags/list", None, ["X-Naru-Listener: private"]),
        ("/v2/hidden/app/tags/list", None, [f"X-Forwarded-Host: {inner}", "X-Forwarded-For: 127.0.0.1"]),
        (f"http://{inner}/v2/hidden/app/tags/list", None, []),
        (f"http://{inner}/v2/hidden/app/tags/list", inner, []),
    ]
    for target, host, headers in rows:
        with wire(server) as connection:
            connection.request(f"GET {target} HTTP/1.1", SIGNED_IN, *headers, host=host or "")
            answer = connection.reply()
            assert (answer.status, b"private address" in answer.body) == (403, True), (target, host, headers)
    private = Wire(server.private_port)
    private.request("GET /v2/hidden/app/tags/list HTTP/1.1", SIGNED_IN)
    assert private.reply().status == 200
    private.socket.close()


def test_clients_that_vanish(server: Server) -> None:
    """A reset at any moment of a request leaves no error behind, and others are served."""
    target = f"/v2/team/vanish/blobs/uploads/?digest={make.sha256(b'hello')}"
    for body in (b"", b"h", b"hell"):
        for line in (f"POST {target} HTTP/1.1", "PUT /v2/team/vanish/manifests/1 HTTP/1.1"):
            connection = Wire(server.port)
            connection.request(line, SIGNED_IN, MANIFEST, "Content-Length: 5", body=body)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.socket.close()
    with wire(server) as connection:
        assert connection.still_works()
        connection.request(f"HEAD /v2/team/vanish/blobs/{make.sha256(b'hello')} HTTP/1.1", SIGNED_IN)
        assert connection.reply(head=True).status == 404


def test_the_log_shows_no_failure_of_ours(server: Server) -> None:
    """After everything above: every refusal was a refusal."""
    log = server.log.read_text()
    for line in log.splitlines():
        assert '"level": "error"' not in line, line
        assert "Traceback" not in line, line
    assert SECRET_KEY not in log
    assert basic(ACCESS_KEY, SECRET_KEY)[6:] not in log
