"""The outgoing client against servers that lie, stall, redirect and never end; and against names that change."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from naru.core.errors import BadRequest
from naru.core.outgoing import Network, OutboundError, OutboundRefused, PortRange, Times
from naru.remotes.outbound import Outbound

ALL_PORTS: tuple[PortRange, ...] = ((1, 65535),)
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"),)
SHORT = Times(connect=1, silence=0.3, total=0.6)

Handle = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def receiver(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that gives each request's head to ``handle``; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(await reader.readuntil(b"\r\n\r\n"), writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(raw: bytes) -> Handle:
    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return handle


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def redirect(where: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Go\r\nLocation: {where}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@contextlib.asynccontextmanager
async def client(
    networks: tuple[Network, ...] = LOOPBACK,
    ports: tuple[PortRange, ...] = ALL_PORTS,
    names: dict[str, list[str]] | None = None,
) -> AsyncIterator[Outbound]:
    async def lookup(host: str, _port: int) -> list[str]:
        return (names or {}).get(host, [])

    made = Outbound(ports=ports, networks=networks, agent="naru-test", lookup=lookup if names is not None else None)
    try:
        yield made
    finally:
        await made.aclose()


# The guard

SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.0.1",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "0.0.0.0",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "localhost",
    "localhost.",
    "LOCALHOST",
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_reaches_a_server_inside(host: str) -> None:
    reached = False

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal reached
        reached = True
        writer.write(OK)

    async with receiver(handle) as port, client(networks=()) as outbound:
        with pytest.raises(OutboundError) as refused:
            await outbound.call("GET", f"http://{host}:{port}/", times=SHORT)
        if host not in {"LOCALHOST", "localhost."}:  # which some systems know and some do not
            assert isinstance(refused.value, OutboundRefused), refused.value
        assert not reached
        if host.lower().strip(".") != "localhost":  # a literal is refused before anybody is asked
            with pytest.raises(BadRequest):
                outbound.check(f"http://{host}:{port}/")


async def test_a_name_with_one_address_inside_is_refused() -> None:
    names = {"evil.test": ["93.184.216.34", "10.0.0.1"], "good.test": ["127.0.0.1"], "none.test": []}
    async with receiver(answering(OK)) as port, client(names=names) as outbound:
        assert (await outbound.call("GET", f"http://good.test:{port}/")).body == b"ok"
        with pytest.raises(OutboundRefused, match=r"evil\.test is 10\.0\.0\.1, which is private"):
            await outbound.call("GET", f"http://evil.test:{port}/")
        with pytest.raises(OutboundError, match="cannot be reached"):
            await outbound.call("GET", f"http://none.test:{port}/")


async def test_a_name_that_changes_between_check_and_use() -> None:
    """Each connection asks once and goes to what was checked; the next one asks and checks again."""
    asked: list[str] = []
    answers = [["127.0.0.2"], ["10.0.0.1"], ["127.0.0.2"]]

    async def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    outbound = Outbound(ports=ALL_PORTS, networks=LOOPBACK, agent="naru-test", lookup=lookup)
    reached: list[str] = []

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        reached.append(writer.get_extra_info("sockname")[0])
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(lambda r, w: handle(b"", w), "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await outbound.call("GET", f"http://changing.test:{port}/")
        assert (asked, reached) == (["changing.test"], ["127.0.0.2"])
        with pytest.raises(OutboundRefused):
            await outbound.call("GET", f"http://changing.test:{port}/")
        assert reached == ["127.0.0.2"]
        await outbound.call("GET", f"http://changing.test:{port}/")
        assert (len(asked), len(reached)) == (3, 2)
        await outbound.aclose()


async def test_ports_are_those_that_are_allowed() -> None:
    async with receiver(answering(OK)) as port, client(ports=((port, port),)) as outbound:
        assert (await outbound.call("GET", f"http://127.0.0.1:{port}/")).status == 200
        with pytest.raises(OutboundRefused, match="port 80 is not allowed"):
            await outbound.call("GET", "http://127.0.0.1/")


async def test_proxies_and_credentials_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heads: list[bytes] = []

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK)

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password netrc-secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    async with receiver(handle) as port, client() as outbound:
        assert (await outbound.call("GET", f"http://127.0.0.1:{port}/x")).status == 200
    assert heads[0].startswith(b"GET /x HTTP/1.1")
    assert b"authorization" not in heads[0].lower()


# Redirects


async def test_redirects_are_not_followed_unless_asked() -> None:
    async with receiver(answering(redirect("http://127.0.0.1:1/"))) as port, client() as outbound:
        answer = await outbound.call("POST", f"http://127.0.0.1:{port}/", body=b"x")
        assert (answer.status, answer.header("location")) == (302, "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    "where",
    [
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://0x7f.1:1/",
        "http://inside.test/",
        "file:///etc/passwd",
        "//10.0.0.1/",
    ],
)
async def test_redirects_pass_the_guard(where: str) -> None:
    names = {"outside.test": ["127.0.0.1"], "inside.test": ["10.0.0.1"]}
    networks = (ip_network("127.0.0.1/32"),)
    handle = answering(redirect(where.replace("0x7f.1", "0xa.1")))
    async with receiver(handle) as port, client(networks=networks, names=names) as outbound:
        with pytest.raises(OutboundRefused):
            await outbound.call("GET", f"http://outside.test:{port}/", redirects=3)


async def test_a_redirect_loop_ends() -> None:
    seen = 0

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.write(redirect("/again"))

    async with receiver(handle) as port, client() as outbound:
        assert (await outbound.call("GET", f"http://127.0.0.1:{port}/", redirects=3)).status == 302
        assert seen == 4


async def test_credentials_stay_with_their_origin() -> None:
    heads: list[bytes] = []

    async def last(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head.lower())
        writer.write(OK)

    sent = {"Authorization": "Bearer secret", "X-Other": "kept"}
    async with receiver(last) as second, client() as outbound:
        async with receiver(answering(redirect(f"http://127.0.0.1:{second}/"))) as first:
            await outbound.call("GET", f"http://127.0.0.1:{first}/", headers=sent, redirects=1)
        await outbound.call("GET", f"http://127.0.0.1:{second}/", headers=sent, redirects=1)
    assert b"secret" not in heads[0]
    assert b"x-other: kept" in heads[0]
    assert b"bearer secret" in heads[1]


# Servers that lie, stall and never end


async def endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def endless_headers(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def many_headers(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n" * 1000)
        await writer.drain()


async def early_hints(_head: bytes, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early\r\n\r\n")
        await asyncio.sleep(0.01)


async def silent(_head: bytes, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def dripping(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.05)


FAILING: list[tuple[str, Handle]] = [
    ("endless headers", endless_headers),
    ("many headers", many_headers),
    ("early hints", early_hints),
    ("silent", silent),
    ("dripping", dripping),
    ("no HTTP", answering(b"SSH-2.0-OpenSSH_9.2\r\n")),
    ("nothing", answering(b"")),
    ("cut", answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")),
    ("bad length", answering(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx")),
    ("bad chunk", answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")),
]


@pytest.mark.parametrize(("name", "handle"), FAILING)
async def test_no_answer_is_an_error_in_time(name: str, handle: Handle) -> None:
    async with receiver(handle) as port, client() as outbound:
        began = time.monotonic()
        with pytest.raises(OutboundError) as told:
            await outbound.call("GET", f"http://127.0.0.1:{port}/secret-path", times=SHORT)
        assert time.monotonic() - began < 3
        assert "secret-path" not in told.value.message


async def test_an_endless_answer_is_cut() -> None:
    async with receiver(endless) as port, client() as outbound:
        began = time.monotonic()
        answer = await outbound.call("GET", f"http://127.0.0.1:{port}/", max_answer=5000)
        assert (answer.body, answer.cut) == (b"x" * 5000, True)
        assert time.monotonic() - began < 2


async def test_an_answer_of_exactly_the_bound_is_whole() -> None:
    async with receiver(answering(OK)) as port, client() as outbound:
        answer = await outbound.call("GET", f"http://127.0.0.1:{port}/", max_answer=2)
        assert (answer.body, answer.cut) == (b"ok", False)


async def test_compressed_answers_stay_so() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    async with receiver(answering(head + bomb)) as port, client() as outbound:
        answer = await outbound.call("GET", f"http://127.0.0.1:{port}/")
        assert answer.body == bomb


async def test_a_closed_port() -> None:
    async with client() as outbound:
        with pytest.raises(OutboundError, match="cannot be reached"):
            await outbound.call("GET", "http://127.0.0.1:1/", times=SHORT)


async def test_streaming() -> None:
    async with receiver(endless) as port, client() as outbound:
        read = 0
        async with outbound.open("GET", f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 200
            async for piece in answer.chunks():
                read += len(piece)
                if read > 1_000_000:
                    break
        assert read > 1_000_000


# TLS


async def test_a_certificate_that_nobody_vouches_for(self_signed: ssl.SSLContext) -> None:
    async with receiver(answering(OK), self_signed) as port, client() as outbound:
        with pytest.raises(OutboundError, match="certificate of https://127"):
            await outbound.call("GET", f"https://127.0.0.1:{port}/")
        assert (await outbound.call("GET", f"https://127.0.0.1:{port}/", verify=False)).status == 200
        with pytest.raises(OutboundError, match="certificate"):  # also when an unchecked connection could be kept
            await outbound.call("GET", f"https://127.0.0.1:{port}/")
