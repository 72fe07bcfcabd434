"""Log lines on stderr: one line an event, whatever a client sent, and no secret in it.

Two kinds. The ordinary log goes through the standard ``logging`` (``configure`` sets it up). The access log has its own
class, because a line a request through ``logging`` costs more than the request: ``AccessLog`` formats by hand into
memory and writes in batches.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote  # printable ASCII in quotes; the rest as \uXXXX
from typing import Literal, TextIO

from naru.settings import Settings

Mode = Literal["all", "errors", "off"]
Form = Literal["json", "text"]

_TALKATIVE = ("alembic", "granian", "_granian")  # libraries that tell at `info` what only helps to find faults in them

MAX_VALUE = 512  # characters of one value that came from outside
MAX_MESSAGE = 16_384  # characters of a message or a traceback

# What a credential looks like wherever it appears: an Authorization value, a signed token, a URL with a password, and
# name=value or "name": "value" of the usual names. The names and schemes stay, so that one sees what was hidden.
_SECRETS = (
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), r"\1 *****"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "*****"),
    (re.compile(r"(\w://[^\s:/@]*):[^\s/@]+@"), r"\1:*****@"),
    (
        re.compile(
            r"\b((?:\w*_)?(?:password|passwd|secret|secret_key|token|api_key)[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)",
            re.IGNORECASE,
        ),
        r"\1*****",
    ),
)
# What a LogRecord has by itself; everything else came by ``extra=`` and is written as a field.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def hide_secrets(text: str) -> str:
    """``text`` with everything that looks like a credential replaced by ``*****``."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def timestamp(microseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds, of microseconds since 1970."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:03d}Z"


class _Formatter(logging.Formatter):
    """A record as one line, JSON or text. Values cannot break out of the line, nor carry terminal escapes."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": timestamp(int(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": hide_secrets(record.getMessage())[:MAX_MESSAGE],
        }
        fields |= {
            name: hide_secrets(str(value))[:MAX_VALUE] for name, value in vars(record).items() if name not in _OWN
        }
        if record.exc_info:
            fields["error"] = hide_secrets(self.formatException(record.exc_info))[-MAX_MESSAGE:]
        if self._form == "json":
            return "{" + ", ".join(f"{quote(name)}: {quote(value)}" for name, value in fields.items()) + "}"
        moment, level, logger, message = (fields.pop(name) for name in ("time", "level", "logger", "message"))
        rest = "".join(f" {_plain(name)}={quote(value)}" for name, value in fields.items())
        return f"{moment} {level.upper():7} {logger} {_plain(message)}{rest}"


def _plain(text: str) -> str:
    """``text`` without quotes around it, everything but printable ASCII escaped."""
    return quote(text)[1:-1].replace('\\"', '"')


@lru_cache(maxsize=1024)
def _known(value: str | None) -> str:
    """``quote`` for values that come again and again: a lookup is cheaper."""
    return quote(value[:MAX_VALUE]) if value else "null"


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send the logs of Naru and of its libraries to ``stream`` (stderr), replacing what was set up before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(settings.log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET if settings.log_level == "debug" else logging.WARNING)
    logging.captureWarnings(True)


class AccessLog:
    """One line a request, kept in memory and written together every ``flush_seconds`` in a thread.

    A reader of the stream that stalls holds up neither the event loop nor memory: above ``limit`` lines in memory the
    rest is dropped and counted, and a line says how many. ``now`` gives microseconds since 1970 UTC.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        mode: Mode,
        now: Callable[[], int],
        form: Form = "json",
        flush_seconds: float = 0.2,
        limit: int = 10_000,
    ) -> None:
        self._stream = stream
        self._least = {"all": 0, "errors": 400, "off": 1_000_000}[mode]
        self._now = now
        self._form = form
        self._flush_seconds = flush_seconds
        self._limit = limit
        self._lines: list[str] = []
        self._second = -1
        self._prefix = ""
        self._unsaid = 0
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.dropped = 0  # lines, since the start

    def record(
        self,
        method: str,
        path: str,
        status: int,
        length: int,
        duration_us: int,
        address: str,
        request_id: str,
        user: str | None = None,
        agent: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Note an answered request. ``path`` comes without its query, which may hold credentials; ``length`` in bytes.

        On the hot path: 2 to 3 us, no I/O, never raises for what a client sent.
        """
        if status < self._least:
            return
        if len(self._lines) >= self._limit:
            self.dropped += 1
            self._unsaid += 1
            return
        now = self._now()
        second = now // 1_000_000
        if second != self._second:  # strftime costs as much as all the rest
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        moment = f"{self._prefix}.{now // 1000 % 1000:03d}Z"
        if self._form == "json":
            line = (
                f'{{"time": "{moment}", "logger": "naru.access", "request_id": {quote(request_id[:MAX_VALUE])}, '
                f'"address": {_known(address)}, "user": {_known(user)}, "method": {_known(method)}, '
                f'"path": {quote(path[:MAX_VALUE])}, "status": {status}, "length": {length}, '
                f'"duration_us": {duration_us}, "agent": {_known(agent)}}}'
            )
        else:
            line = (
                f"{moment} ACCESS  {_plain(method[:MAX_VALUE])} {quote(path[:MAX_VALUE])} {status} {length} "
                f"{duration_us}us address={_known(address)} id={quote(request_id[:MAX_VALUE])} user={_known(user)} "
                f"agent={_known(agent)}"
            )
        if trace_id is not None:  # where traces are on; of hexadecimal digits
            line = f'{line[:-1]}, "trace_id": "{trace_id}"}}' if self._form == "json" else f"{line} trace={trace_id}"
        self._lines.append(line)

    async def start(self) -> None:
        """Begin writing. Before it, lines gather in memory up to the limit."""
        self._task = asyncio.create_task(self._run(), name="access-log")

    async def aclose(self) -> None:
        """Write what is left and stop; harmless when it never started or is closed already."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self._flush()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), self._flush_seconds)
            except TimeoutError:
                await self._flush()

    async def _flush(self) -> None:
        lines, self._lines = self._lines, []
        count = len(lines)
        if self._unsaid:
            lines.append(self._notice(self._unsaid))
            self._unsaid = 0
        if not lines:
            return
        try:
            await asyncio.to_thread(self._write, "\n".join(lines) + "\n")
        except (OSError, ValueError):  # the reader is gone, no room on its disk, or the stream is closed
            self.dropped += count
            self._unsaid += count

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _notice(self, count: int) -> str:
        moment = timestamp(self._now())
        message = f"{count} lines of the access log were dropped: they came faster than stderr is read"
        if self._form == "json":
            return f'{{"time": "{moment}", "level": "warning", "logger": "naru.access", "message": "{message}"}}'
        return f"{moment} WARNING naru.access {message}"
