"""Requests a second over kept-alive connections, each answered before the next is sent on it.

``wrk`` drives where it can: it takes little of the cores that the servers share with it. It cannot do HEAD (it waits
for the body that Content-Length speaks of), and it may be absent: then a loop over ``epoll`` drives, which costs more
of the shared cores a request, the same for every server.
"""

from __future__ import annotations

import json
import random
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import crew
from bench.server import BenchError, Server
from bench.turns import Sample, percentile
from bench.wire import HOST, INDEX, MANIFEST

SCRIPT = """
local ports, threads = {PORTS}, 0

function setup(thread)
  thread.addr = wrk.lookup("HOST", ports[threads % #ports + 1])[1]
  thread:set("turn", threads / #ports)
  threads = threads + 1
end

local heads, tails, picks, count, last = {}, {}, {}, 0, 0

function init(args)
  for line in io.lines(args[1]) do
    local authorization = line == "-" and "" or "Authorization: " .. line .. "\\r\\n"
    local rest = authorization .. "Accept: " .. args[4] .. "\\r\\n\\r\\n"
    tails[#tails + 1] = " HTTP/1.1\\r\\nHost: " .. args[3] .. "\\r\\n" .. rest
  end
  for line in io.lines(args[2]) do
    local pick, head = line:match("^(%d+) (.+)$")
    count = count + 1
    heads[count], picks[count] = head, tonumber(pick)
  end
  last = math.floor(turn * count)
end

function request()
  last = last % count + 1
  return heads[last] .. tails[picks[last]]
end

function done(summary, latency, requests)
  local e = summary.errors
  local spread = {}
  for i = 1, 1000 do spread[i] = string.format("%d", latency:percentile(math.min(i / 10, 99.99))) end
  local form = 'RESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d, '
  print(string.format(form .. '"spread": [%s]}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout, table.concat(spread, ",")))
end
"""
ACCEPT = f"{MANIFEST}, {INDEX}"


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    authorization: str = ""
    method: str = "GET"


@dataclass(slots=True)
class Load:
    """Requests for one server, shuffled so that no cache can foresee them, the same way in every run."""

    server: Server
    requests: Sequence[Request]
    connections: int
    folder: Path  # for the files that wrk reads

    def __post_init__(self) -> None:
        self.requests = random.Random(7).sample(list(self.requests), len(self.requests))

    def drive(self, seconds: float) -> Sample:
        """Drive it; value is answered requests a second. Raises BenchError when most were not answered with 2xx."""
        if any(request.method == "HEAD" for request in self.requests) or not shutil.which("wrk"):
            return self._by_epoll(seconds)
        return self._by_wrk(seconds)

    def _by_wrk(self, seconds: float) -> Sample:
        self.folder.mkdir(parents=True, exist_ok=True)
        script, tails, heads = (self.folder / name for name in ("wrk.lua", "authorizations", "requests"))
        known = {
            text: number for number, text in enumerate(dict.fromkeys(each.authorization for each in self.requests), 1)
        }
        ports = self.server.ports
        names = ", ".join(f'"{port}"' for port in ports)
        script.write_text(SCRIPT.replace("PORTS", names).replace("HOST", HOST))
        tails.write_text("".join(f"{text or '-'}\n" for text in known))
        heads.write_text("".join(f"{known[each.authorization]} {each.method} {each.path}\n" for each in self.requests))
        address = f"{HOST}:{self.server.port}"
        command = [
            "wrk",
            f"-t{len(ports)}",  # a thread's connections all go to one port
            f"-c{self.connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "30s",
            "-s",
            str(script),
        ]
        command += [f"http://{address}", "--", str(tails), str(heads), address, ACCEPT]
        result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        line = next((line for line in result.stdout.splitlines() if line.startswith("RESULT ")), None)
        if line is None:
            raise BenchError(f"wrk gave no result: {(result.stderr or result.stdout)[-300:]}")
        found = json.loads(line.removeprefix("RESULT "))
        errors = found["refused"] + found["broken"]
        self._check(found["requests"], errors)
        rate = (found["requests"] - found["refused"]) / (found["microseconds"] / 1e6)
        spread = [value / 1e3 for value in found["spread"]]
        return Sample(rate, found["p50"] / 1e3, found["p99"] / 1e3, errors, spread=spread, count=found["requests"])

    def _by_epoll(self, seconds: float) -> Sample:
        messages = [
            f"{each.method} {each.path} HTTP/1.1\r\nHost: {HOST}:{self.server.port}\r\n"
            + (f"Authorization: {each.authorization}\r\n" if each.authorization else "")
            + f"Accept: {ACCEPT}\r\n\r\n"
            for each in self.requests
        ]
        job = EpollJob(self.server.ports, self.connections, [message.encode() for message in messages], seconds)
        tally = crew.run([job], seconds, steps=1)
        self._check(tally.done + tally.errors, tally.errors, tally.first_error)
        p50, p99 = (percentile(tally.latencies, share) for share in (0.5, 0.99))
        spread = [(percentile(tally.latencies, share / 1000) or 0) * 1e3 for share in range(1, 1001)]
        rate = tally.done / tally.seconds
        return Sample(rate, (p50 or 0) * 1e3, (p99 or 0) * 1e3, tally.errors, spread=spread, count=tally.done)

    def _check(self, requests: int, errors: int, reason: str = "") -> None:
        if not requests or errors * 2 > requests:
            raise BenchError(f"{errors} of {requests} requests failed (first: {self.requests[0]}) {reason}")


@dataclass(slots=True)
class EpollJob:
    """The second driver: one thread over non-blocking sockets. Answers carry Content-Length, or are to HEAD."""

    ports: Sequence[int]
    connections: int
    messages: list[bytes]
    seconds: float
    _sockets: dict[int, socket.socket] = field(default_factory=dict)

    def prepare(self) -> None:
        for number in range(self.connections):
            connection = socket.create_connection((HOST, self.ports[number % len(self.ports)]), timeout=10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection

    def step(self, tally: crew.Tally) -> None:
        """All of it in one step."""
        poll = select.epoll()
        sent: dict[int, tuple[float, bytes]] = {}
        number = 0
        for descriptor, connection in self._sockets.items():
            poll.register(descriptor, select.EPOLLIN)
            sent[descriptor] = (time.monotonic(), self.messages[number % len(self.messages)])
            connection.sendall(sent[descriptor][1])
            number += 1
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            for descriptor, _ in poll.poll(1.0):
                connection = self._sockets[descriptor]
                began, message = sent[descriptor]
                answer = _whole_answer(connection, head=message.startswith(b"HEAD "))
                if answer[9:10] == b"2":
                    tally.add(time.monotonic() - began)
                else:
                    tally.fail(answer[:200].decode("latin-1"))
                message = self.messages[number % len(self.messages)]
                number += 1
                sent[descriptor] = (time.monotonic(), message)
                connection.sendall(message)
        poll.close()


def _whole_answer(connection: socket.socket, *, head: bool) -> bytes:
    data = connection.recv(1 << 18)
    while True:
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            if head:
                return data
            lines = data[:end].lower()
            start = lines.find(b"content-length:")
            if start < 0:
                raise BenchError("an answer without Content-Length: install wrk to measure this")
            if len(data) >= end + 4 + int(lines[start + 15 :].split(b"\r\n", 1)[0]):
                return data
        more = connection.recv(1 << 18)
        if not more:
            raise BenchError("the server closed a connection")
        data += more
