"""What is refused before an operation is looked at: in the form that clients of the address read, and what becomes of
the connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from naru.core import errors
from naru.web.api.envelope import CODES
from naru.web.site import MAX_API_BODY
from tests.asgi import basic
from tests.server import ACCESS_KEY, SECRET_KEY, Server
from tests.wire import Reply, wire

API = "/ncr/v2.0/appkeys/none"
SIGNED_IN = f"Authorization: {basic(ACCESS_KEY, SECRET_KEY)}"
KEY = (f"X-TC-AUTHENTICATION-ID: {ACCESS_KEY}", f"X-TC-AUTHENTICATION-SECRET: {SECRET_KEY}")
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
PIECE = 64 * 1024
POST = f"POST {API}/registries HTTP/1.1"
#: Operations that take a body, and one that does not.
LINES = (POST, f"PUT {API}/registries/team HTTP/1.1", f"GET {API}/registries HTTP/1.1", "POST /ncr/v2.0/users HTTP/1.1")


def code_of(reply: Reply) -> int:
    """Of a refusal in the envelope."""
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("application/json")
    document: dict[str, Any] = json.loads(reply.body)
    assert document.keys() == {"header"}
    assert document["header"].keys() == {"isSuccessful", "resultCode", "resultMessage"}
    assert document["header"]["isSuccessful"] is False
    return int(document["header"]["resultCode"])


def chunks(size: int) -> bytes:
    whole = b"%x\r\n%s\r\n" % (PIECE, b" " * PIECE) * (size // PIECE)
    rest = size % PIECE
    return whole + (b"%x\r\n%s\r\n" % (rest, b" " * rest) if rest else b"") + b"0\r\n\r\n"


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [MAX_API_BODY + 1, 10 * MAX_API_BODY])
def test_a_body_above_the_limit(server: Server, line: str, chunked: bool, size: int) -> None:
    """Also a client that sends all before it reads gets its refusal, and then the end of the connection."""
    body = chunks(size) if chunked else b" " * size
    with wire(server) as connection:
        connection.request(line, *KEY, JSON, CHUNKED if chunked else f"Content-Length: {size}")
        assert connection.flood(len(body), body) == len(body)
        answer = connection.reply()
        assert code_of(answer) == CODES[errors.BodyTooLarge] == 10014
        assert str(MAX_API_BODY) in answer.body.decode()
        assert answer.closes
        assert connection.ended()


def test_a_body_without_end_is_refused_while_it_comes(server: Server) -> None:
    with wire(server) as connection:
        connection.request(POST, *KEY, JSON, CHUNKED)
        piece = b"%x\r\n%s\r\n" % (PIECE, b" " * PIECE)
        connection.flood(3 * MAX_API_BODY // PIECE * len(piece), piece)
        answer = connection.reply()  # no end was sent
        assert (code_of(answer), answer.closes) == (10014, True)


def test_a_client_that_asks_first_sends_nothing(server: Server) -> None:
    with wire(server) as connection:
        connection.request(POST, *KEY, JSON, "Expect: 100-continue", f"Content-Length: {MAX_API_BODY + 1}")
        answer = connection.reply()
        assert (code_of(answer), answer.closes) == (10014, True)
        assert connection.ended()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_of_the_limit_is_read_and_the_connection_goes_on(server: Server, chunked: bool) -> None:
    text = b'{"project_name": "a", "metadata": {"auto_scan": "' + b"x" * MAX_API_BODY
    text = text[: MAX_API_BODY - 3] + b'"}}'
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text) if chunked else text
    with wire(server) as connection:
        for _ in range(2):
            connection.request(POST, *KEY, JSON, CHUNKED if chunked else f"Content-Length: {len(text)}", body=body)
            answer = connection.reply()
            assert (code_of(answer), answer.closes) == (10004, False)  # there is no such project
        assert connection.still_works()


DOOR: Sequence[tuple[str, list[str], bytes, int]] = [
    ("another coding", ["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n", 10001),
    ("a compressed body", ["Content-Encoding: gzip", "Content-Length: 5"], b"hello", 10001),
    ("two keys", [f"X-TC-AUTHENTICATION-ID: {ACCESS_KEY}", "Content-Length: 0"], b"", 10001),
    ("a length beyond all", ["Content-Length: 999999999999999999"], b"", 10014),
]


@pytest.mark.parametrize(("headers", "body", "code"), [row[1:] for row in DOOR], ids=[row[0] for row in DOOR])
def test_what_the_door_refuses_is_in_the_envelope(server: Server, headers: list[str], body: bytes, code: int) -> None:
    with wire(server) as connection:
        connection.request(POST, *KEY, *headers, body=body)
        answer = connection.reply()
        assert (code_of(answer), answer.closes) == (code, True)


def test_a_body_that_breaks_off(server: Server) -> None:
    with wire(server) as connection:
        connection.request(POST, *KEY, JSON, CHUNKED, body=b"5\r\nhel")
        connection.socket.shutdown(socket.SHUT_WR)
        answer = connection.reply()
        assert not answer.status or code_of(answer) == 10001
        assert connection.ended()


def test_each_address_refuses_in_its_own_form(server: Server) -> None:
    length = f"Content-Length: {100 * MAX_API_BODY}"
    with wire(server) as connection:
        connection.request("POST /oauth2/token/create HTTP/1.1", SIGNED_IN, length)
        answer = connection.reply()
        assert (answer.status, answer.closes, answer.headers["cache-control"]) == (413, True, "no-store")
        assert json.loads(answer.body).keys() == {"error", "error_description"}
        assert json.loads(answer.body)["error"] == "invalid_request"
    for line in ("PUT /v2/team/app/manifests/a HTTP/1.1", "POST /service/token HTTP/1.1"):
        with wire(server) as connection:
            connection.request(line, SIGNED_IN, length, "Content-Type: application/x-www-form-urlencoded")
            answer = connection.reply()
            assert answer.closes
            assert answer.status == 413, line
            assert json.loads(answer.body).keys() == {"errors"}
