"""The scopes that challenges name, and mounts: what a token must say, and what anybody may pull needs no word of it."""

from __future__ import annotations

import pytest

from naru.core.permissions import Role
from tests import make
from tests.conftest import Naru


@pytest.mark.parametrize(
    ("query", "scope"),
    [
        ("mount={digest}&from=team/base", "repository:team/app:pull,push repository:team/base:pull"),
        ("mount={digest}", "repository:team/app:pull,push"),
        ("from=team/base", "repository:team/app:pull,push"),
        ("mount={digest}&from=No%22Name", "repository:team/app:pull,push"),
    ],
)
async def test_the_challenge_of_a_mount_names_its_source(naru: Naru, query: str, scope: str) -> None:
    target = "/v2/team/app/blobs/uploads/?" + query.format(digest=make.sha256(b"layer"))
    nobody = await naru.anonymous.post(target)
    limited = await (await naru.token(naru.admin, "repository:team/base:pull")).post(target)
    assert nobody.status == limited.status == 401
    assert f'scope="{scope}"' in nobody.headers["www-authenticate"]
    assert f'scope="{scope}"' in limited.headers["www-authenticate"]


async def test_a_token_of_the_challenged_scope_mounts(naru: Naru) -> None:
    digest = await make.blob(naru.admin, "team/base", b"layer")
    target = f"/v2/team/app/blobs/uploads/?mount={digest}&from=team/base"
    both = await naru.token(naru.admin, "repository:team/app:pull,push%20repository:team/base:pull")
    assert (await both.post(target)).status == 201


async def test_a_token_without_the_source_uploads_instead(naru: Naru) -> None:
    digest = await make.blob(naru.admin, "team/base", b"layer")
    narrow = await naru.token(naru.admin, "repository:team/app:pull,push")
    for query in (f"mount={digest}&from=team/base", f"mount={digest}"):
        assert (await narrow.post(f"/v2/team/app/blobs/uploads/?{query}")).status == 202


async def test_what_anybody_may_pull_can_be_mounted_with_any_token(naru: Naru) -> None:
    await naru.registry("open", anonymous_pull=True)
    digest = await make.blob(naru.admin, "open/base", b"layer")
    narrow = await naru.token(naru.admin, "repository:team/app:pull,push", "repository:team/other:pull,push")
    assert (await narrow.post(f"/v2/team/app/blobs/uploads/?mount={digest}&from=open/base")).status == 201
    assert (await narrow.post(f"/v2/team/other/blobs/uploads/?mount={digest}")).status == 201
    assert (await narrow.get(f"/v2/open/base/blobs/{digest}")).body == b"layer"
    assert (await narrow.delete(f"/v2/open/base/blobs/{digest}")).status == 401


async def test_a_challenge_names_what_the_caller_can_get(naru: Naru) -> None:
    """Whoever may push may look, but to an uploader a token for ``pull`` is never given."""
    uploader = await naru.client("uploader", Role.IMAGE_UPLOADER)
    await make.image(uploader, "team/app", "1.0")
    refused = await (await naru.token(uploader, "repository:team/app:pull")).head("/v2/team/app/manifests/1.0")
    assert refused.status == 401
    assert 'scope="repository:team/app:pull,push"' in refused.headers["www-authenticate"]
    wider = await naru.token(uploader, "repository:team/app:pull,push")
    assert (await wider.head("/v2/team/app/manifests/1.0")).status == 200
    assert (await wider.get("/v2/team/app/manifests/1.0")).status == 403
