"""The client that was written from NCR's guide, against a running server: not one name or type is another one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.api.published.__main__ import told
from tests.api.published.guide import BEYOND, GUIDE, OTHERWISE, compare, compare_refusal
from tests.api.published.run import Call, Entry, Run
from tests.api.published.story import STORY
from tests.api.published.wire import Api, Key
from tests.databases import place_of, rows
from tests.server import ACCESS_KEY, SECRET_KEY, Server

ROOT = Path(__file__).parents[2]
#: Operations that answer "not available yet": scans, replication, image caches.
LATER = re.compile(r"/(replications|endpoints|scanAll)|/scan$|/additions/vulnerabilities")


@pytest.fixture(name="api", scope="module")
def _api(server: Server) -> Api:
    ((appkey,),) = rows(place_of(server.data), "SELECT appkey FROM projects WHERE is_default")
    return Api(f"http://{server.host}", appkey, Key(ACCESS_KEY, SECRET_KEY))


@pytest.fixture(name="viewer", scope="module")
def _viewer(server: Server) -> Key:
    made = server.naru("user", "create", "viewer", "--role", "service-viewer")
    assert made.returncode == 0, made.stderr
    (key,) = json.loads(server.naru("key", "create", "viewer", "--json").stdout)
    return Key(key["access_key_id"], key["secret_access_key"])


def test_every_operation_as_the_guide_has_it(api: Api, viewer: Key) -> None:
    run = told(Run(api, viewer), api.url)
    assert not run.findings, "\n".join(run.findings)
    assert len(run.done) == len(set(run.done))
    assert {name for name in GUIDE if not LATER.search(name)} == set(run.done)
    assert run.refusals > 500
    assert run.fields > 150
    # What is said to be beyond the guide is there; else the list is out of date.
    assert run.beyond == {f"{top}.{name}".rstrip(".") for top, names in BEYOND.items() for name in names}


def test_by_hand(server: Server, api: Api) -> None:
    command = [sys.executable, "-m", "tests.api.published", "--url", api.url, "--appkey", api.appkey]
    command += ["--id", ACCESS_KEY, "--secret-from-env", "A_SECRET"]
    done = subprocess.run(
        command, cwd=ROOT, env=server.variables | {"A_SECRET": SECRET_KEY}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "0 findings" in done.stderr


def test_nothing_is_left(api: Api) -> None:
    names = [one["name"] for one in api.call("GET", "/registries", {"page_size": 100})[1]["registries"]]
    assert names == ["team"]


def test_the_page_has_what_is_beyond_and_otherwise() -> None:
    page = (ROOT / "docs/reference/public-api.md").read_text(encoding="utf-8")
    for top, names in BEYOND.items():
        for name in (top, *filter(None, names)):
            assert f"`{name}`" in page, (top, name)
    for name in OTHERWISE:
        assert f"`{name.rpartition('.')[2]}`" in page, name


# The comparison can fail.

GOOD = {
    "header": {"isSuccessful": True, "resultCode": 200, "resultMessage": "SUCCESS"},
    "tags": [{"id": 1, "name": "a", "pull_time": "", "push_time": "2026-01-01T00:00:00.000Z"}],
}
TAGS = GUIDE["GET /registries/{registryName}/images/{imageName}/artifacts/{reference}/tags"]


def changed(place: str, value: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(GOOD))
    *above, last = place.split(".")
    holder: Any = document
    for part in above:
        holder = holder[part][0] if isinstance(holder[part], list) else holder[part]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return document


ROWS: Sequence[tuple[str, object, str]] = [
    ("tags", ..., "tags is missing"),
    ("tags", {}, "not of type array"),
    ("tags", [1], "no object"),
    ("tags", None, "tags is null"),
    ("tags.id", ..., "tags.id is missing"),
    ("tags.id", "1", "not of type integer"),
    ("tags.id", True, "not of type integer"),
    ("tags.id", 1.5, "not of type integer"),
    ("tags.name", None, "tags.name is null"),
    ("tags.push_time", "yesterday", "no time"),
    ("tags.push_time", "2026-01-01T00:00:00+09:00", "no time"),
    ("tags.colour", "red", "tags.colour is not in the guide"),
    ("total", 1, "total is not in the guide"),
    ("header.resultCode", "200", "not of type integer"),
    ("header.resultCode", 201, "told as 201"),
    ("header.isSuccessful", False, "isSuccessful is False"),
    ("header.more", 1, "the header is"),
]


@pytest.mark.parametrize(("place", "value", "said"), ROWS)
def test_what_differs_is_found(place: str, value: object, said: str) -> None:
    found = compare(TAGS, changed(place, value), set())
    assert found, place
    assert said in found[0]


def test_what_is_right_is_not() -> None:
    seen: set[str] = set()
    assert compare(TAGS, GOOD, seen) == []
    assert seen == {"tags", "tags.id", "tags.name", "tags.pull_time", "tags.push_time"}
    assert compare(TAGS, changed("tags.signed", True), seen) == []


def test_what_a_refusal_is() -> None:
    refusal = {"isSuccessful": False, "resultCode": 10004, "resultMessage": "there is none"}
    assert compare_refusal({"header": refusal}) == []
    for wrong in (
        None,
        {},
        {"header": refusal, "tags": []},
        {"header": refusal | {"resultCode": 404}},
        {"header": refusal | {"resultMessage": ""}},
        {"header": refusal | {"isSuccessful": True}},
        {"errors": [{"code": "DENIED"}]},
    ):
        assert compare_refusal(wrong), wrong


def test_an_entry_that_leaves_something_out_is_found(api: Api) -> None:
    run = Run(api)
    run.tell(Entry("GET /registries", (Call("without a page"),)))
    assert any("page was never sent" in finding for finding in run.findings)
    assert any("items.cve_id was never met" in finding for finding in run.findings)
    run = Run(api)
    run.tell(Entry("GET /registries", (Call("is no refusal", refused=True), Call())))
    assert any("is no refusal" in finding for finding in run.findings)


def test_every_operation_has_one_entry() -> None:
    names = [entry.operation for entry in STORY if isinstance(entry, Entry)]
    assert len(names) == len(set(names))
    assert set(names) <= GUIDE.keys()
