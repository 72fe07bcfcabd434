"""``kill -9`` while artifacts, tags and images go to the trash and come back: each is there or in the trash, whole."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import make
from tests.crash.state import is_clean
from tests.crash.wire import wire
from tests.databases import place_of, rows
from tests.server import ACCESS_KEY, SECRET_KEY, Server

IMAGES = 3
TAGS = ("1", "2", "3")


class Api:
    """The public API of a server that may be killed at any moment: then answers are None."""

    def __init__(self, server: Server) -> None:
        self._port = server.port
        ((self._appkey,),) = rows(place_of(server.data), "SELECT appkey FROM projects WHERE is_default")

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        headers = {"X-TC-AUTHENTICATION-ID": ACCESS_KEY, "X-TC-AUTHENTICATION-SECRET": SECRET_KEY} | {
            "Content-Type": "application/json"
        }
        data = None if body is None else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            with closing(connection):
                connection.request(method, f"/ncr/v2.0/appkeys/{self._appkey}{path}", data, headers)
                answer: dict[str, Any] = json.loads(connection.getresponse().read())
                return answer
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def trash(self) -> list[dict[str, Any]]:
        answer = self.call("GET", "/trash?page_size=100")
        return answer["trash"] if answer and answer["header"]["isSuccessful"] else []


class Changing(threading.Thread):
    """Deletes and restores things of one image, in any order, until the server is gone."""

    def __init__(self, api: Api, number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.done = 0
        self._api = api
        self._image = f"app{number}"
        self._random = random.Random(seed)

    def run(self) -> None:
        while self._step():
            self.done += 1

    def _step(self) -> bool:
        way, tag = self._random.randrange(5), self._random.choice(TAGS)
        path = f"/registries/team/images/{self._image}"
        if way > 2:
            mine = [one for one in self._api.trash() if one["image"] == self._image]
            if not mine:
                return self._api.call("GET", path) is not None
            return self._api.call("POST", f"/trash/{self._random.choice(mine)['id']}/restore", {}) is not None
        target = (path, f"{path}/artifacts/{tag}", f"{path}/artifacts/{tag}/tags/{tag}")[way]
        return self._api.call("DELETE", target) is not None


def rounds(data: Path, count: int, seed: int) -> int:
    moments = random.Random(seed)
    server = Server(data, {"NARU_COLLECTION_INTERVAL_SECONDS": "1", "NARU_COLLECTION_GRACE_SECONDS": "2"})
    done = 0
    try:
        server.start()
        manifests = fill(server)
        for number in range(count):
            api = Api(server)
            assert api.call("GET", "/registries") is not None  # the API is loaded
            crew = [Changing(api, place, seed + 10 * number + place) for place in range(IMAGES)]
            for one in crew:
                one.start()
            time.sleep(moments.uniform(0.3, 1.5))
            server.kill()
            for one in crew:
                one.join(30)
                done += one.done
            is_clean(server, f"round {number} of seed {seed}", fsck=number == count - 1)
            server.start()
        bring_back(Api(server))
        with wire(server.port) as client:
            for name, body in manifests.items():
                answer = client.request("GET", f"/v2/team/{name.replace(':', '/manifests/')}")
                assert (answer.status, answer.body) == (200, body), (seed, name)
    finally:
        server.kill()
    is_clean(server, f"the end of seed {seed}")
    return done


def fill(server: Server) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with wire(server.port) as client:
        for number in range(IMAGES):
            for tag in TAGS:
                blobs = [b"shared", f"layer {tag}".encode(), f"layer {number} {tag}".encode()]
                for blob in blobs:
                    path = f"/v2/team/app{number}/blobs/uploads/?digest={make.sha256(blob)}"
                    assert client.request("POST", path, blob).status == 201
                body = make.manifest_of(blobs[0], blobs[1:])
                path = f"/v2/team/app{number}/manifests/{tag}"
                headers = {"content-type": make.OCI_MANIFEST}
                assert client.request("PUT", path, body, headers).status == 201
                found[f"app{number}:{tag}"] = body
    return found


def bring_back(api: Api) -> None:
    """Everything that is in the trash: whole images first, then artifacts, then tags."""
    for _round in range(10):
        left = api.trash()
        if not left:
            return
        for one in sorted(left, key=lambda one: (["image", "artifact", "tag"].index(one["kind"]), one["id"])):
            assert api.call("POST", f"/trash/{one['id']}/restore", {}) is not None
    told = [(one["id"], api.call("POST", f"/trash/{one['id']}/restore", {})) for one in left]
    raise AssertionError(f"this cannot be restored: {told}")


def test_deletions_and_restores_survive_kills(tmp_path: Path) -> None:
    assert rounds(tmp_path / "data", 1, seed=random.randrange(1_000_000)) > 10, "the storm was a calm"


@pytest.mark.soak
def test_deletions_and_restores_survive_many_kills(tmp_path: Path) -> None:
    for part in range(3):
        rounds(tmp_path / f"data{part}", 30, seed=random.randrange(1_000_000))
