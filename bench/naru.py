"""Naru as ``naru serve`` starts it: with authentication, permissions, pull gates and pull counting on."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import subprocess
import sys
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench import seed_naru
from bench.content import REGISTRY, Content
from bench.server import BenchError, Server, find_program
from bench.wire import HOST, Connection

USER, PASSWORD = "admin", "benchmark-password-1"
ACCESS_KEY, SECRET_KEY = "benchmarkaccesskey00", "benchmark-secret-key-0123456789abcdef"
RENEW_BEFORE = 180.0  # seconds that a token has to be good for when it is handed out
BASIC = "Basic " + base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()


def find() -> Path | None:
    """``NARU_BENCH_NARU``, beside the running interpreter, or on PATH."""
    beside = Path(sys.executable).parent / "naru"
    if "NARU_BENCH_NARU" not in os.environ and beside.is_file():
        return beside
    return find_program(("naru",), "NARU_BENCH_NARU")


class Naru(Server):
    def __init__(self, folder: Path, program: Path) -> None:
        super().__init__(folder)
        self._program = program
        self.name = "Naru"
        self._tokens: dict[str, tuple[str, float]] = {}  # scope -> header, monotonic time of expiry
        self._realm: tuple[str, str] | None = None
        self.settings: dict[str, str] = {}  # NARU_* variables of the next start, beside those of every start

    @property
    def version(self) -> str:
        result = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=False, timeout=30)
        found = re.search(r"\d+\.\d+\S*", result.stdout)
        return found[0] if found else "of unknown version"

    def command(self) -> list[str]:
        return [str(self._program), "serve"]

    def environment(self) -> dict[str, str]:
        return {
            "NARU_DATA": str(self.data),
            "NARU_PUBLIC": f"{HOST}:{self.port}",
            "NARU_BOOTSTRAP_USER": USER,
            "NARU_BOOTSTRAP_PASSWORD": PASSWORD,
            "NARU_BOOTSTRAP_ACCESS_KEY": ACCESS_KEY,
            "NARU_BOOTSTRAP_SECRET_KEY": SECRET_KEY,
            "NARU_BOOTSTRAP_REGISTRIES": REGISTRY,
            "NARU_LIMIT_ARTIFACTS": "1000000",  # what pushers make in one image in the time that they have
            **self.settings,
        }

    def seed(self, content: Content) -> None:
        """Into the database and the store that a first start made."""
        self.start()
        self.stop()
        seed_naru.seed(self.data, content)

    def key_authorization(self) -> str:
        return BASIC

    def authorization(self, image: str, actions: str = "pull") -> str:
        """A bearer token for one image, as every client gets its own."""
        return self._token(f"repository:{image}:{actions}")

    def catalog_authorization(self) -> str:
        return self._token("registry:catalog:*")

    def call(self, method: str, path: str, body: dict[str, object] | None = None, *, account: bool = False) -> Any:
        """An operation of the public API: of the default project, or with ``account`` outside of projects."""
        base = "/ncr/v2.0" if account else f"/ncr/v2.0/appkeys/{seed_naru.appkey(self.data)}"
        signed = f"x-tc-authentication-id: {ACCESS_KEY}\r\nx-tc-authentication-secret: {SECRET_KEY}\r\n"
        data = None if body is None else json.dumps(body).encode()
        kind = "" if body is None else "Content-Type: application/json\r\n"
        with Connection(self.port) as connection:
            answer = connection.request(method, base + path, data, headers=signed + kind).expect(200)
        document = json.loads(answer.body)
        if not document["header"]["isSuccessful"]:
            raise BenchError(f"{method} {path}: {document['header']['resultMessage']}")
        return document

    def sign_in(self) -> str:
        """The Cookie header of the administrator's session in the console."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        cookies: dict[str, str] = {}

        def send(method: str, form: dict[str, str] | None = None) -> str:
            body = urlencode(form) if form else None
            headers = {"Origin": f"http://{HOST}:{self.port}", "Cookie": _cookie_line(cookies)}
            if form:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, "/sign-in", body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status not in {200, 303}:
                raise BenchError(f"sign-in to the console: status {answer.status}: {text[-300:]}")
            for line in answer.headers.get_all("set-cookie", []):
                cookies.update({name: part.value for name, part in SimpleCookie(line).items()})
            return text

        found = re.search(r'name="csrf" value="([^"]*)"', send("GET"))
        if found is None:
            raise BenchError("the console's sign-in page has no form")
        send("POST", {"csrf": found[1], "name": USER, "password": PASSWORD})
        connection.close()
        return _cookie_line(cookies)

    def _token(self, scope: str) -> str:
        header, expiry = self._tokens.get(scope, ("", 0.0))
        if expiry > time.monotonic():
            return header
        with Connection(self.port, BASIC) as connection:
            realm, service = self._find_realm()
            answer = connection.request("GET", f"{realm}?service={service}&scope={scope}").expect(200)
        found = json.loads(answer.body)
        header = f"Bearer {found.get('token') or found['access_token']}"
        self._tokens[scope] = (header, time.monotonic() + found.get("expires_in", 60) - RENEW_BEFORE)
        return header

    def _find_realm(self) -> tuple[str, str]:
        """Path and service of the token endpoint, from the challenge of ``GET /v2/``."""
        if self._realm is None:
            with Connection(self.port) as anonymous:
                challenge = anonymous.request("GET", "/v2/").expect(401).headers.get("www-authenticate", "")
            found = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
            if "realm" not in found:
                raise BenchError(f"no bearer challenge from Naru: {challenge!r}")
            path = "/" + found["realm"].split("://", 1)[-1].partition("/")[2]
            self._realm = path, found.get("service", "")
        return self._realm


def _cookie_line(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items() if value)
