"""Published operations that are still to come, and the common CVE allowlist, which works."""

from __future__ import annotations

from typing import Any, cast

import pytest

from naru.core.permissions import Role
from naru.web.api import document, later
from naru.web.api.app import build_api
from naru.web.api.routing import PROJECT
from tests import make
from tests.api.client import api
from tests.conftest import Naru

DOCUMENT = build_api(cast(Any, None)).openapi()
LATER = {route.name for module in later.MODULES for route in module.router.routes if hasattr(route, "name")}
OPERATIONS = [
    (method, path.removeprefix(PROJECT), operation)
    for path, method, operation in document.operations(DOCUMENT)
    if operation["operationId"] in LATER
]
#: Values of the parameters of paths.
PLACES = {"registryNameOrId": "team", "registryName": "team", "imageName": "app", "reference": "1.0"}


def filled(path: str) -> str:
    for part in path.split("/"):
        if part.startswith("{"):
            path = path.replace(part, PLACES.get(part[1:-1], "1"))
    return path


def body_of(operation: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    return content["application/json"]["example"] if content else None


async def test_they_say_so(naru: Naru) -> None:
    """To who may do it, and with what the document shows as an example."""
    assert len(OPERATIONS) == len(LATER) > 10
    await make.image(naru.admin, "team/app", "1.0")
    admin = await api(naru)
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    for method, path, operation in OPERATIONS:
        target = filled(path)
        answer = await admin.document(method, target, body_of(operation))
        assert answer["header"]["resultCode"] == 10011, (method, path, answer)
        assert "not available in this version of Naru yet" in answer["header"]["resultMessage"]
        expected = 10011 if method == "GET" else 10003
        assert await viewer.refused(method, target, body_of(operation)) == expected, (method, path)


async def test_what_is_wrong_is_told_first(naru: Naru) -> None:
    admin = await api(naru)
    for method, path, body in (
        ("POST", "/endpoints", {"name": "x"}),
        ("PUT", "/scanAll/schedule", {"schedule": {"cron": 5, "type": "Daily"}}),
        ("POST", "/replications/executions", {"policy_id": 2**70}),
        ("POST", "/registries/team/webhook/policies", {"event_types": ["x"] * 33, "targets": []}),
        ("GET", "/endpoints?page=0", None),
    ):
        assert await admin.refused(method, path, body) == 10001, (method, path)


# The common CVE allowlist


async def test_the_common_cve_allowlist(naru: Naru) -> None:
    admin = await api(naru)
    project = await naru.core.operator()
    empty = (await admin.call("GET", "/CVEAllowlist"))["cve_allowlist"]
    assert empty == {"id": project.project.id, "items": []}
    wanted = {"items": [{"cve_id": "CVE-2024-2"}, {"cve_id": "CVE-2024-1"}, {"cve_id": "CVE-2024-2"}]}
    await admin.call("PUT", "/CVEAllowlist", wanted)
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    shown = (await viewer.call("GET", "/CVEAllowlist"))["cve_allowlist"]
    assert shown["items"] == [{"cve_id": "CVE-2024-1"}, {"cve_id": "CVE-2024-2"}]
    assert await viewer.refused("PUT", "/CVEAllowlist", wanted) == 10003
    (noted,) = (await admin.call("GET", "/audit-logs?action=cve_allowlist.update"))["audit_logs"]
    cves = ["CVE-2024-1", "CVE-2024-2"]
    assert (noted["resource"], noted["detail"]) == ("CVEAllowlist", {"items": cves, "added": cves, "removed": []})
    assert (await admin.call("GET", "/registries/team"))["registry"]["cve_allowlist"]["items"] == []
    await admin.call("PUT", "/CVEAllowlist", {"items": []})
    assert (await admin.call("GET", "/CVEAllowlist"))["cve_allowlist"]["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": None},
        {"items": [{}]},
        {"items": [{"cve_id": ""}]},
        {"items": [{"cve_id": "CVE 1"}]},
        {"items": [{"cve_id": "CVE-2024-1\x00"}]},
        {"items": [{"cve_id": "C" * 65}]},
        {"items": [{"cve_id": f"CVE-{n}"} for n in range(1001)]},
    ],
)
async def test_lists_that_are_refused(naru: Naru, body: Any) -> None:
    admin = await api(naru)
    await admin.call("PUT", "/CVEAllowlist", {"items": [{"cve_id": "CVE-2024-1"}]})
    assert await admin.refused("PUT", "/CVEAllowlist", body) == 10001
    assert len((await admin.call("GET", "/CVEAllowlist"))["cve_allowlist"]["items"]) == 1
