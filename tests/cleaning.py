"""A registry with cleanup policies, called through its doors, and a worker that runs what is due.

The application must not run jobs by itself: ``pytestmark = pytest.mark.options(job_workers=0)``.
"""

from __future__ import annotations

from typing import Any

from tests import make
from tests.api.client import ApiClient, api
from tests.conftest import Naru


class Cleaning:
    """``path`` is that of the registry's policies."""

    def __init__(self, naru: Naru, admin: ApiClient, path: str) -> None:
        self.naru = naru
        self.admin = admin
        self.path = path
        self.worker = naru.application.worker
        self.scheduler = naru.application.scheduler

    @classmethod
    async def of(cls, naru: Naru, name: str = "team") -> Cleaning:
        admin = await api(naru)
        found = (await admin.call("GET", f"/registries/{name}"))["registry"]["project_id"]
        return cls(naru, admin, f"/registries/{found}/retentions")

    async def policy(self, tag: str = "**", scope: str = "**", *, untagged: bool = False, **parameters: int) -> None:
        """``!`` before a pattern excludes."""
        body = {
            "scope": {"include": not scope.startswith("!"), "pattern": scope.removeprefix("!")},
            "tag": {"include": not tag.startswith("!"), "pattern": tag.removeprefix("!"), "untagged": untagged},
            "parameters": parameters or {"always": -1},
        }
        await self.admin.call("POST", self.path, body)

    async def protect(self, tag: str) -> None:
        path = self.path.replace("retentions", "immutabletagrules")
        await self.admin.call("POST", path, {"tag": {"include": True, "pattern": tag}})

    async def push(self, tag: str, image: str = "app", **more: Any) -> make.Image:
        """Each tag has content of its own."""
        return await make.image(self.naru.admin, f"team/{image}", tag, seed=tag, **more)

    async def days(self, count: float) -> None:
        self.naru.clock.advance(count * 86_400)

    async def begin(self, *, dry_run: bool = False) -> int:
        """The id of the run, which waits for the worker."""
        await self.admin.call("POST", f"{self.path}/executions", {"dry_run": dry_run})
        return int((await self.executions())[0]["id"])

    async def run(self, *, dry_run: bool = False) -> dict[str, Any]:
        """The run after its end."""
        number = await self.begin(dry_run=dry_run)
        await self.worker.settle()
        return await self.execution(number)

    async def execution(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = (await self.admin.call("GET", f"{self.path}/executions/{number}"))["execution"]
        return found

    async def executions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.admin.call("GET", f"{self.path}/executions"))["executions"]
        return found

    async def tasks(self, number: int) -> list[dict[str, Any]]:
        found = await self.admin.call("GET", f"{self.path}/executions/{number}/tasks?page_size=100")
        tasks: list[dict[str, Any]] = found["tasks"]
        return tasks

    async def verdicts(self, number: int, query: str = "") -> list[dict[str, Any]]:
        """Of all images of the run."""
        found: list[dict[str, Any]] = []
        for task in await self.tasks(number):
            path = f"{self.path}/executions/{number}/tasks/{task['id']}/verdicts?page_size=100{query}"
            found += (await self.admin.call("GET", path))["verdicts"]
        return found

    async def by_tag(self, number: int) -> dict[str, str]:
        """Verdicts by the artifacts' tags."""
        return {",".join(one["tags"]): one["verdict"] for one in await self.verdicts(number)}

    async def tags(self, image: str = "app") -> list[str]:
        answer = await self.naru.admin.get(f"/v2/team/{image}/tags/list")
        return list(answer.json()["tags"] or []) if answer.status == 200 else []

    async def there(self, digest: str, image: str = "app") -> bool:
        return (await self.naru.admin.head(f"/v2/team/{image}/manifests/{digest}")).status == 200

    async def sound(self) -> None:
        assert await self.naru.core.fsck.run(hash_bytes=False, repair=False, progress=lambda *_: None) == []

    async def rows(self, sql: str) -> list[Any]:
        return await self.naru.core.database.read(lambda tx: [tuple(row) for row in tx.exec_driver_sql(sql)])
