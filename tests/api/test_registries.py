"""Registries by the public API."""

from __future__ import annotations

from naru.core.permissions import Role
from tests import make
from tests.api.client import api, audit_rows
from tests.conftest import Naru


async def test_a_registry_lives_by_the_api_alone(naru: Naru) -> None:
    admin = await api(naru)
    await admin.call("POST", "/registries", {"project_name": "made", "metadata": {"auto_scan": "true"}})
    shown = (await admin.call("GET", "/registries/made"))["registry"]
    assert shown["metadata"]["auto_scan"] == "true"
    assert shown["uri"].endswith("/made")
    by_id = (await admin.call("GET", f"/registries/{shown['project_id']}"))["registry"]
    assert by_id == shown
    body = {"metadata": {"severity": "high"}, "cve_allowlist": {"items": [{"cve_id": "CVE-2024-1"}]}}
    await admin.call("PUT", "/registries/made", body)
    changed = (await admin.call("GET", "/registries/made"))["registry"]
    assert (changed["metadata"]["severity"], changed["metadata"]["auto_scan"]) == ("high", "true")
    assert changed["cve_allowlist"]["items"] == [{"cve_id": "CVE-2024-1"}]
    await admin.call("DELETE", "/registries/made")
    assert await admin.refused("GET", "/registries/made") == 10102


async def test_names_of_digits(naru: Naru) -> None:
    admin = await api(naru)
    await admin.call("POST", "/registries", {"project_name": "12345"})
    assert await admin.refused("GET", "/registries/12345") == 10102
    shown = await admin.call("GET", "/registries/12345", x_is_resource_name="true")
    assert shown["registry"]["name"] == "12345"


async def test_pages(naru: Naru) -> None:
    admin = await api(naru)
    for number in range(5):
        await admin.call("POST", "/registries", {"project_name": f"r{number}"})
    answer = await admin.send("GET", "/registries?page=2&page_size=2&q=r&sort=-name")
    assert [one["name"] for one in answer.json()["registries"]] == ["r2", "r1"]
    assert answer.headers["x-total-count"] == "5"
    assert 'rel="next"' in answer.headers["link"]
    assert await admin.refused("GET", "/registries?page_size=1000000000") == 10001
    assert await admin.refused("GET", "/registries?sort=secret_hash") == 10001


async def test_refusals(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app")
    assert await admin.refused("DELETE", "/registries/team") == 10005
    assert await admin.refused("POST", "/registries", {"project_name": "team"}) == 10005
    assert await admin.refused("POST", "/registries", {"project_name": "Team"}) == 10101
    assert await admin.refused("POST", "/registries", {"project_name": "x", "metadata": {"auto_scan": "yes"}}) == 10001
    assert await admin.refused("POST", "/registries", {"project_name": 5}) == 10001
    viewer = await api(naru, await naru.client("viewer", Role.SERVICE_VIEWER))
    assert await viewer.refused("POST", "/registries", {"project_name": "x"}) == 10003
    nobody = await api(naru, await naru.client("nobody"))
    assert await nobody.refused("GET", "/registries") == 10004
    stranger = await api(naru, naru.anonymous.signed_in("wrong", "wrong"))
    assert await stranger.refused("GET", "/registries") == 10002


async def test_with_images_it_goes_by_its_name_alone(naru: Naru) -> None:
    admin = await api(naru)
    await make.image(naru.admin, "team/app", "1.0")
    assert await admin.refused("DELETE", "/registries/team") == 10005
    for wrong in ("", "true", "Team", "team2"):
        assert await admin.refused("DELETE", f"/registries/team?withImages={wrong}") == 10001
    await admin.call("GET", "/registries/team")
    await admin.call("POST", "/registries/team/immutabletagrules", {"scope": {"pattern": "app"}})
    assert await admin.refused("DELETE", "/registries/team?withImages=team") == 10302
    (rule,) = (await admin.call("GET", "/registries/team/immutabletagrules"))["immutable_tag_rules"]
    await admin.call("DELETE", f"/registries/team/immutabletagrules/{rule['id']}")
    await admin.call("DELETE", "/registries/team?withImages=team")
    assert await admin.refused("GET", "/registries/team") == 10102
    assert (await audit_rows(naru, "registry.delete"))[0]["detail"]["images"] == 1


async def test_usage_is_there_at_once(naru: Naru) -> None:
    admin = await api(naru)
    image = await make.image(naru.admin, "team/app")
    expected = len(image.manifest) + sum(len(data) for data in image.blobs.values())
    assert (await admin.call("GET", "/registries/team"))["registry"]["usage"] == expected
