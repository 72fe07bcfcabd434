"""Log lines: one line an event whatever a client sends, no secrets, and a stalled reader hurts nobody."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from naru.log import MAX_VALUE, AccessLog, Form, Mode, configure, hide_secrets, timestamp
from naru.settings import Settings

NOW = 1_700_000_000_123_456  # 2023-11-14T22:13:20.123Z

# What a client may put into a name or a User-Agent to forge lines, hide them or steer a terminal.
HOSTILE = [
    'x\n{"level": "info", "message": "forged"}',
    "x\r\nforged",
    "\x00\x1b[2J\x07\x7f",
    "\x9b31m",
    "line\u2028separator\u2029",
    "right\u202eto-left",
    "lone \ud800 surrogate",
    'quote " and \\ backslash',
    "나루",
]


def record(log: AccessLog, **changes: Any) -> None:
    values: dict[str, Any] = {
        "method": "GET",
        "path": "/v2/",
        "status": 200,
        "length": 2,
        "duration_us": 812,
        "address": "127.0.0.1",
        "request_id": "0011",
        "user": None,
        "agent": "docker/27",
    } | changes
    log.record(**values)


async def written(mode: Mode = "all", form: Form = "json", **changes: Any) -> str:
    stream = io.StringIO()
    log = AccessLog(stream, mode=mode, now=lambda: NOW, form=form)
    record(log, **changes)
    await log.aclose()
    return stream.getvalue()


async def test_a_json_line_has_every_value() -> None:
    assert json.loads(await written(user="key-1")) == {
        "time": "2023-11-14T22:13:20.123Z",
        "logger": "naru.access",
        "request_id": "0011",
        "address": "127.0.0.1",
        "user": "key-1",
        "method": "GET",
        "path": "/v2/",
        "status": 200,
        "length": 2,
        "duration_us": 812,
        "agent": "docker/27",
    }


async def test_a_text_line_has_every_value() -> None:
    assert await written(form="text") == (
        '2023-11-14T22:13:20.123Z ACCESS  GET "/v2/" 200 2 812us address="127.0.0.1" id="0011" user=null '
        'agent="docker/27"\n'
    )


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["method", "path", "address", "request_id", "user", "agent"])
@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_value_cannot_leave_its_line(form: Form, field: str, value: str) -> None:
    changes: dict[str, Any] = {field: value}
    text = await written(form=form, **changes)
    assert text.count("\n") == 1
    assert text.isascii()
    assert text.removesuffix("\n").isprintable()
    if form == "json":
        assert json.loads(text)[field] == value


async def test_long_values_are_cut() -> None:
    line = json.loads(await written(path="a" * 100_000, agent="b" * 100_000))
    assert len(line["path"]) == len(line["agent"]) == MAX_VALUE


@pytest.mark.parametrize(
    ("mode", "status", "lines"),
    [("all", 200, 1), ("errors", 399, 0), ("errors", 400, 1), ("errors", 503, 1), ("off", 503, 0)],
)
async def test_modes(mode: Mode, status: int, lines: int) -> None:
    assert (await written(mode=mode, status=status)).count("\n") == lines


@pytest.mark.parametrize("user", [None, ""])
async def test_nobody_is_null(user: str | None) -> None:
    assert json.loads(await written(user=user))["user"] is None


async def test_lines_are_written_while_running_together() -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    stream = Counting()
    log = AccessLog(stream, mode="all", now=lambda: NOW, flush_seconds=0.01)
    await log.start()
    for _ in range(100):
        record(log)
    while stream.getvalue().count("\n") < 100:
        await asyncio.sleep(0.005)
    assert stream.writes == 1
    await log.aclose()
    await log.aclose()
    assert stream.writes == 1


async def test_a_stalled_reader_costs_lines_and_not_the_service() -> None:
    gate = threading.Event()

    class Stalled(io.StringIO):
        def write(self, text: str) -> int:
            gate.wait(10)
            return super().write(text)

    stream = Stalled()
    log = AccessLog(stream, mode="all", now=lambda: NOW, flush_seconds=0.001, limit=10)
    await log.start()
    record(log)
    await asyncio.sleep(0.05)  # that line is now stuck in the writing thread, the loop is not
    for _ in range(25):
        record(log)
    assert log.dropped == 15
    gate.set()
    await log.aclose()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len([line for line in lines if "path" in line]) == 11
    assert [line["message"] for line in lines if "message" in line] == [
        "15 lines of the access log were dropped: they came faster than stderr is read"
    ]


async def test_a_reader_that_is_gone_is_survived() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    log = AccessLog(Gone(), mode="all", now=lambda: NOW, flush_seconds=0.001)
    await log.start()
    record(log)
    await asyncio.sleep(0.02)
    record(log)
    await log.aclose()
    assert log.dropped == 2


# The ordinary log


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def logged(form: Form, message: str, *arguments: object, **extra: object) -> str:
    stream = io.StringIO()
    configure(Settings(log_format=form), stream)
    logging.getLogger("naru.test").warning(message, *arguments, extra=extra)
    return stream.getvalue()


@pytest.mark.usefixtures("root_logger")
@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("form", ["json", "text"])
def test_a_message_cannot_leave_its_line(form: Form, value: str) -> None:
    text = logged(form, "refused %s", value, request_id=value)
    assert text.count("\n") == 1
    assert text.isascii()
    assert text.removesuffix("\n").isprintable()


@pytest.mark.usefixtures("root_logger")
def test_fields_and_tracebacks_are_part_of_the_line() -> None:
    stream = io.StringIO()
    configure(Settings(log_format="json"), stream)
    try:
        raise ValueError("password=hunter2hunter2")
    except ValueError:
        logging.getLogger("naru.test").exception("failed", extra={"request_id": "0011"})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["message"], line["request_id"]) == (
        "error",
        "naru.test",
        "failed",
        "0011",
    )
    assert "ValueError: password=*****" in line["error"]
    assert "hunter2" not in stream.getvalue()


@pytest.mark.usefixtures("root_logger")
def test_the_level_holds() -> None:
    stream = io.StringIO()
    configure(Settings(log_level="error"), stream)
    logging.getLogger("naru.test").warning("quiet")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer *****"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic *****"),
        ("got eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl today", "got ***** today"),
        ("postgresql://naru:pa55@db/naru", "postgresql://naru:*****@db/naru"),
        ('{"password": "pa55 word", "user": "u"}', '{"password": *****, "user": "u"}'),
        ("client_secret=abc&x=1", "client_secret=*****&x=1"),
        ("NARU_BOOTSTRAP_SECRET_KEY=abc", "NARU_BOOTSTRAP_SECRET_KEY=*****"),
        ("the token of demo expired at 12", "the token of demo expired at 12"),
        ("Basic authentication is missing", "Basic ***** is missing"),
        ("https://registry.example.com:5000/v2/", "https://registry.example.com:5000/v2/"),
    ],
)
def test_secrets_are_hidden(text: str, expected: str) -> None:
    assert hide_secrets(text) == expected


def test_timestamps() -> None:
    assert timestamp(NOW) == "2023-11-14T22:13:20.123Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.usefixtures("root_logger")
@pytest.mark.parametrize(("level", "lines"), [("info", 1), ("debug", 3)])
def test_libraries_are_quiet_unless_debugging(level: Literal["info", "debug"], lines: int) -> None:
    stream = io.StringIO()
    configure(Settings(log_level=level), stream)
    logging.getLogger("alembic.runtime").info("a plugin was set up")
    logging.getLogger("naru.test").debug("detail")
    logging.getLogger("naru.test").info("started")
    assert stream.getvalue().count("\n") == lines
