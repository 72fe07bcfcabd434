"""What tests of the trash share."""

from __future__ import annotations

from typing import Any

from tests import make
from tests.api.client import ApiClient
from tests.conftest import Naru

APP = "/registries/team/images/app"
CONFLICT, UNKNOWN, LIMIT, DENIED, BAD, NO_NAME, PROTECTED = 10005, 10004, 10013, 10003, 10001, 10102, 10302


async def trash(admin: ApiClient, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await admin.call("GET", f"/trash?page_size=100{query}"))["trash"]
    return found


async def restore(admin: ApiClient, deletion: dict[str, Any], **wanted: str) -> dict[str, Any]:
    done: dict[str, Any] = (await admin.call("POST", f"/trash/{deletion['id']}/restore", wanted))["restored"]
    return done


async def status(naru: Naru, reference: str, image: str = "team/app") -> int:
    return (await naru.admin.head(f"/v2/{image}/manifests/{reference}")).status


async def clean(naru: Naru) -> None:
    findings = await naru.core.fsck.run(hash_bytes=True, repair=False, progress=lambda *_: None)
    assert findings == [], findings


async def usage(admin: ApiClient) -> tuple[int, int]:
    found = (await admin.call("GET", "/registries/team/usage"))["usage"]
    return found["bytes"], found["trash_bytes"]


def bytes_of(*images: make.Image) -> int:
    blobs = {digest: len(data) for image in images for digest, data in image.blobs.items()}
    return sum(blobs.values()) + sum(len(image.manifest) for image in images)
