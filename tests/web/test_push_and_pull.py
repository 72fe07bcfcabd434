"""A push and a pull, and what comes between."""

from __future__ import annotations

from tests import make
from tests.conftest import Naru


async def test_an_image_comes_back_byte_for_byte(naru: Naru) -> None:
    pushed = await make.image(naru.admin, "team/app", "1.0")
    pulled = await naru.admin.get("/v2/team/app/manifests/1.0")
    assert (pulled.status, pulled.body) == (200, pushed.manifest)
    assert pulled.headers["docker-content-digest"] == pushed.digest
    for digest, data in pushed.blobs.items():
        answer = await naru.admin.get(f"/v2/team/app/blobs/{digest}")
        assert (answer.status, answer.body) == (200, data)
