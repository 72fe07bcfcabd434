"""``q`` and ``sort`` of every list that has pages: what the document says of them is what they do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from naru.web.api import document
from tests.api.client import ApiClient, api
from tests.api.test_schema import DOCUMENT
from tests.conftest import Naru

NAMES = {"appKey": "{appKey}", "registryNameOrId": "team", "registryName": "team", "registryId": "team"}
#: Lists of what does not exist yet; and of what has to be made first, which the tests of cleanup and webhooks do.
ELSEWHERE = re.compile(r"/(replications|endpoints)|\{(imageName|executionId|policyId)\}")

LISTS = [
    (path, {one["name"]: one for one in operation["parameters"]}, operation["description"])
    for path, method, operation in document.operations(DOCUMENT)
    if method == "GET" and "page" in {one["name"] for one in operation.get("parameters", ())}
]
REACHED = [one for one in LISTS if not ELSEWHERE.search(one[0])]


def told_orders(description: str) -> list[str]:
    """The fields that the words about a list say it can be sorted by."""
    found = re.search(r"(?:`sort`:|Sorted by)((?:\s|`[a-z_]+`|,|or)+)", description)
    return re.findall("`([a-z_]+)`", found[1]) if found else []


def test_every_list_has_both_or_says_so() -> None:
    assert len(LISTS) > 15
    assert len(REACHED) >= 10
    for path, parameters, description in LISTS:
        assert ("sort" in parameters) == bool(told_orders(description)), path
        assert "q" in parameters or "sort" not in parameters, path


@pytest.mark.parametrize(("path", "parameters", "description"), REACHED, ids=[one[0] for one in REACHED])
async def test_what_is_sorted_and_searched(naru: Naru, path: str, parameters: dict[str, Any], description: str) -> None:
    admin = await api(naru)
    target = re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], path)
    target = target.replace("/ncr/v2.0/appkeys/{appKey}", "")
    if target.startswith("/ncr/v2.0"):
        admin.base, target = "/ncr/v2.0", target.removeprefix("/ncr/v2.0")
    await admin.call("GET", target)
    if "sort" not in parameters:
        assert await admin.refused("GET", f"{target}?sort=id") == 10001
    if "q" not in parameters:
        assert await admin.refused("GET", f"{target}?q=a") == 10001
    if "sort" in parameters:
        answer = await admin.document("GET", f"{target}?sort=nonsense")
        said = answer["header"]["resultMessage"]
        orders = re.findall("[a-z_]+", said.partition("sorted by ")[2].partition(", not by")[0])
        assert sorted(orders) == sorted(told_orders(description)), said
        for order in orders:
            await admin.call("GET", f"{target}?sort={order}")
            await admin.call("GET", f"{target}?sort=-{order}")


def rule(scope: str, tag: str) -> dict[str, Any]:
    return {"scope": {"include": True, "pattern": scope}, "tag": {"include": True, "pattern": tag}}


@pytest.mark.parametrize(
    ("path", "field", "more"),
    [
        ("immutabletagrules", "immutable_tag_rules", {}),
        ("retentions", "retention_rules", {"parameters": {"always": -1}}),
    ],
)
async def test_policies(naru: Naru, path: str, field: str, more: dict[str, Any]) -> None:
    admin = await api(naru)
    for scope, tag in (("b/**", "x"), ("a", "release-*"), ("c", "m")):
        await admin.call("POST", f"/registries/team/{path}", rule(scope, tag) | more)
    listed = f"/registries/team/{path}"

    async def scopes(query: str) -> str:
        return "".join(one["scope"]["pattern"][0] for one in (await admin.call("GET", listed + query))[field])

    assert await scopes("") == "bac"
    assert await scopes("?sort=-id") == "cab"
    assert await scopes("?sort=scope") == "abc"
    assert await scopes("?sort=-scope&page_size=2") == "cb"
    assert await scopes("?sort=-scope&page_size=2&page=2") == "a"
    assert await scopes("?sort=tag") == "cab"
    assert await scopes("?q=RELEASE") == "a"
    assert await scopes("?q=b/") == "b"
    assert (await admin.send("GET", f"{listed}?q=x")).headers["x-total-count"] == "1"
    assert await scopes("?q=nothing") == ""


async def test_webhooks(naru: Naru) -> None:
    admin = await api(naru)
    listed = "/registries/team/webhook/policies"
    target = {"type": "http", "address": "https://hooks.example.com/hook"}
    for name in ("beta", "Alpha", "gamma"):
        naru.clock.advance(1)
        await admin.call("POST", listed, {"name": name, "event_types": ["PUSH_ARTIFACT"], "targets": [target]})

    async def names(client: ApiClient, query: str) -> str:
        return " ".join(one["name"] for one in (await client.call("GET", listed + query))["policies"])

    assert await names(admin, "") == "beta Alpha gamma"
    assert await names(admin, "?sort=-creation_time") == "gamma Alpha beta"
    assert await names(admin, "?sort=name") == "Alpha beta gamma"
    assert await names(admin, "?q=ALP") == "Alpha"
    (first,) = (await admin.call("GET", f"{listed}?q=beta"))["policies"]
    naru.clock.advance(1)
    changed = {"name": "beta", "event_types": ["PULL_ARTIFACT"], "targets": [target]}
    await admin.call("PUT", f"{listed}/{first['id']}", changed)
    assert await names(admin, "?sort=-update_time&page_size=1") == "beta"
