"""A client of the public API: headers, the envelope, paths."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.asgi import Answer, Client
from tests.conftest import Naru


class ApiClient:
    """Calls operations of the default project as whoever ``client`` signs in as (its Basic authorization)."""

    def __init__(self, client: Client, appkey: str) -> None:
        self.client = client.anonymous()
        self.base = f"/ncr/v2.0/appkeys/{appkey}"
        access_key, _, secret = base64.b64decode((client.authorization or "Basic Og==")[6:]).decode().partition(":")
        self.headers = {"x-tc-authentication-id": access_key, "x-tc-authentication-secret": secret}

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        fields = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            fields["content-type"] = "application/json"
        return await self.client.request(method, self.base + path, data, fields)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The document of an answer that must be a success."""
        document = await self.document(method, path, body, **headers)
        assert document["header"] == {"isSuccessful": True, "resultCode": 200, "resultMessage": "SUCCESS"}, document
        return document

    async def refused(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        """The code of an answer that must be a refusal."""
        document = await self.document(method, path, body, **headers)
        assert document["header"]["isSuccessful"] is False, document
        assert document["header"]["resultMessage"]
        return int(document["header"]["resultCode"])

    async def document(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        answer = await self.send(method, path, body, **headers)
        assert answer.status == 200, answer.body
        document: dict[str, Any] = answer.json()
        return document


def links(answer: Answer) -> dict[str, str]:
    """Relation -> target of the answer's ``Link``."""
    return {found[2]: found[1] for found in re.finditer('<([^>]*)>; rel="([a-z]+)"', answer.headers.get("link", ""))}


async def api(naru: Naru, client: Client | None = None) -> ApiClient:
    """A client of the default project; the administrator's unless told otherwise."""
    project = await naru.core.accounts.default_project()
    return ApiClient(client or naru.admin, project.appkey)


async def account_api(naru: Naru, client: Client | None = None) -> ApiClient:
    """The same for the operations outside of projects."""
    made = await api(naru, client)
    made.base = "/ncr/v2.0"
    return made


async def audit_rows(naru: Naru, action: str, project: str | None = None) -> list[dict[str, Any]]:
    """What the project's audit log has of an action, the newest first."""
    await naru.core.database.write(lambda _tx: None)  # behind what was to be written soon
    facts = (await naru.core.operator(project)).project
    admin = ApiClient(naru.admin, facts.appkey)
    rows: list[dict[str, Any]] = (await admin.call("GET", f"/audit-logs?action={action}&page_size=100"))["audit_logs"]
    return rows


async def account_rows(naru: Naru, action: str, client: Client | None = None) -> list[dict[str, Any]]:
    """The same of the installation's log; of the client's own account when there is one."""
    await naru.core.database.write(lambda _tx: None)
    path = "/audit-logs" if client is None else "/account/audit-logs"
    reader = await account_api(naru, client)
    rows: list[dict[str, Any]] = (await reader.call("GET", f"{path}?action={action}&page_size=100"))["audit_logs"]
    return rows
