"""A receiver process that fails, stalls, lies and redirects, and writes down what came.

``python -m tests.webhooks.hostile PORT LOG SEED``. A line of the log is JSON: the event's id, its tag, whether its
signature is good, and how it was answered. ``/calm`` ends its tricks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import sys
from pathlib import Path

SECRET = b"a-secret-of-the-storm"
TRICKS = ("yes", "yes", "yes", "yes", "failing", "busy", "stall", "lie", "cut", "redirect", "endless", "late")


class Hostile:
    def __init__(self, port: int, log: Path, seed: int) -> None:
        self.port = port
        self.log = log.open("a", encoding="utf-8")
        self.moments = random.Random(seed)
        self.calm = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = head[0].split(" ")[1]
        if path == "/calm":
            self.calm = True
            writer.write(b"HTTP/1.1 204 No\r\n\r\n")
            await writer.drain()
            return False
        trick = "yes" if self.calm else self.moments.choice(TRICKS)
        self.note(path, trick, headers, body)
        if trick in {"yes", "late"}:
            await asyncio.sleep(0.2 if trick == "late" else 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        elif trick in {"failing", "busy"}:
            status = b"500" if trick == "failing" else b"429"
            writer.write(b"HTTP/1.1 " + status + b" No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        elif trick == "redirect":
            where = f"Location: http://127.0.0.1:{self.port}/followed\r\n"
            writer.write(b"HTTP/1.1 307 Go\r\nContent-Length: 0\r\n" + where.encode() + b"\r\n")
        elif trick == "lie":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nx")
        elif trick == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(2000):
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
        elif trick == "stall":
            await asyncio.sleep(3)
        await writer.drain()
        return trick in {"yes", "late", "failing", "busy", "redirect"}

    def note(self, path: str, trick: str, headers: dict[str, str], body: bytes) -> None:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        tag = json.loads(body)["event_data"]["resources"][0]["tag"]
        line = {
            "id": headers["webhook-id"],
            "tag": tag,
            "answer": trick,
            "path": path,
            "signed": hmac.compare_digest(expected, headers.get("webhook-signature", "")),
        }
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()


async def main(port: int, log: Path, seed: int) -> None:
    hostile = Hostile(port, log, seed)
    server = await asyncio.start_server(hostile.serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
