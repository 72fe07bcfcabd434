"""Somebody with a browser that runs no script, in process: keeps cookies, fills in forms, follows where it is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from urllib.parse import urlencode

from tests.asgi import Answer, Client
from tests.conftest import Naru

ORIGIN = "http://registry.test"
PASSWORD = "a password of some length"


class Visitor:
    def __init__(self, client: Client, language: str = "en") -> None:
        self.client = client.anonymous()
        self.cookies: dict[str, str] = {}
        self.language = language

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._send("GET", path, b"", headers)

    async def page(self, path: str) -> str:
        """The text of a page that must be there."""
        answer = await self.get(path)
        assert answer.status == 200, (path, answer.status, answer.headers, answer.body[-2000:])
        return answer.body.decode()

    async def post(self, path: str, form: Mapping[str, object] | None = None, **headers: str) -> Answer:
        """What a form of ours would send, but for what the test says otherwise; the token is that of the page."""
        fields: dict[str, object] = {"csrf": self.token} | dict(form or {})
        body = urlencode({name: value for name, value in fields.items() if value is not None}, doseq=True).encode()
        sent = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"} | headers
        return await self._send("POST", path, body, sent)

    async def done(self, path: str, form: Mapping[str, object] | None = None) -> str:
        """A change that must be made: where it leads."""
        answer = await self.post(path, form)
        assert answer.status == 303, (path, answer.status, text_of(answer.body.decode())[-1500:])
        return answer.headers["location"]

    async def sign_in(self, name: str, password: str = PASSWORD) -> Visitor:
        await self.page("/sign-in")
        await self.done("/sign-in", {"name": name, "password": password})
        await self.page("/account")
        return self

    async def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        fields = {"accept": "text/html", "accept-language": self.language, "user-agent": "test browser"}
        if self.cookies:
            fields["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.client.request(method, path, body, fields | dict(headers))
        for name, value in answer.all_headers:
            if name == "set-cookie":
                self._keep(value)
        found = re.search(r'name="csrf" value="([^"]*)"', answer.body.decode("utf-8", "replace"))
        if found is not None:
            self.token = unescape(found[1])
        return answer

    token = "none"

    def _keep(self, header: str) -> None:
        name, _, rest = header.partition("=")
        value = rest.partition(";")[0].strip('"')
        if "max-age=0" in header.lower():
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def text_of(page: str) -> str:
    """What a page says, without its tags."""
    page = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page))).strip()


async def administrator(naru: Naru, language: str = "en") -> Visitor:
    return await Visitor(naru.anonymous, language).sign_in("admin", "admin-password-for-tests")


async def appkey_of(naru: Naru) -> str:
    return (await naru.core.operator()).project.appkey


async def signed_in(naru: Naru, language: str = "en") -> tuple[Visitor, str]:
    """The administrator, and the address of the default project."""
    return await administrator(naru, language), f"/projects/{await appkey_of(naru)}"
