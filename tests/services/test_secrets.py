"""Secrets: how they are kept, and that they are kept: no answer, log line or error shows one."""

from __future__ import annotations

import base64
import io
import logging
import stat
from pathlib import Path

import pytest

from naru.core.errors import Conflict
from naru.log import hide_secrets
from naru.services import secrets
from naru.services.secrets import (
    Verifier,
    derive,
    generate_access_key,
    generate_secret,
    hash_chosen,
    hash_generated,
    installation_key,
    is_secret_of,
)
from tests.conftest import ADMIN_KEY, ADMIN_SECRET, Naru


async def test_hashes_know_their_secret_and_no_other() -> None:
    secret = generate_secret()
    for stored in (hash_generated(secret), hash_chosen(secret)):
        assert secret not in stored
        assert is_secret_of(secret, stored)
        assert await Verifier().matches(secret, stored)
        for other in ("", secret[:-1], secret + "x", secret.swapcase(), secret + "\0", " " + secret):
            assert not is_secret_of(other, stored)
            assert not await Verifier().matches(other, stored)
    assert hash_generated(secret) != hash_generated(secret)  # salted
    assert hash_chosen(secret) != hash_chosen(secret)
    assert hash_chosen("p").startswith("$argon2id$")


async def test_no_secret_matches_a_key_that_is_not_there() -> None:
    for secret in ("", "0" * 64, "x", "\ud800"):
        assert not await Verifier().matches(secret, None)
    assert not is_secret_of("x", secrets._NOBODY)


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$x$y", "plain", "md5$x"])
def test_what_is_no_hash_matches_nothing(stored: str) -> None:
    assert not is_secret_of("", stored)
    assert not is_secret_of(stored, stored)


def test_generated_secrets_are_long_and_differ() -> None:
    made = {generate_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(len(secret) == 40 and secret.isalnum() and secret.isascii() for secret in made)
    assert len({generate_access_key() for _ in range(200)}) == 200


def test_the_installation_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    key = installation_key(folder / "secret.key")
    assert len(key) == 32
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    assert installation_key(folder / "secret.key") == key
    assert [path.name for path in folder.iterdir()] == ["secret.key"]
    assert installation_key(tmp_path / "other" / "secret.key") != key
    assert derive(key, "token") != derive(key, "tokens")
    assert len(derive(key, "token")) == 32


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_installation_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret.key").write_bytes(content)
    with pytest.raises(Conflict, match="restore it from a backup"):
        installation_key(tmp_path / "secret.key")


SECRETS = {
    "chosen": ADMIN_SECRET,
    "wrong": "wrong-Secret-4711-never-shown",
    "form": "form-Secret-4712-never-shown",
    "query": "query-Secret-4713-never-shown",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJhIjoibmV2ZXItc2hvd24ifQ.c2lnbmF0dXJl-never-shown",
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the application writes to stderr; ask for it before ``naru``."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    return stream


@pytest.mark.options(access_log="all", log_level="debug")
async def test_no_secret_is_shown_anywhere(
    written: io.StringIO, naru: Naru, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = naru.anonymous.signed_in(ADMIN_KEY, SECRETS["wrong"])
    shuffled = naru.anonymous.signed_in(SECRETS["wrong"], ADMIN_KEY)  # a secret where the key belongs
    form = f"grant_type=password&username={ADMIN_KEY}&password={SECRETS['form']}".encode()
    bearer = naru.anonymous.with_token(SECRETS["token"])
    answers = [
        await naru.admin.get("/v2/"),
        await naru.admin.get("/v2/none/app/manifests/1.0"),
        await naru.admin.get(f"/v2/team/app/tags/list?n={SECRETS['query'][:5]}&password={SECRETS['query']}"),
        await naru.admin.get(f"/service/token?password={SECRETS['query']}&service=other"),
        await wrong.get("/v2/"),
        await shuffled.get("/v2/"),
        await naru.anonymous.post("/service/token", form),
        await naru.anonymous.post("/service/token", form + b"%zz&grant_type=none"),
        await bearer.get("/v2/"),
        await bearer.get("/v2/team/app/tags/list"),
    ]
    for header in ("authorization", "proxy-authorization", "cookie", "x-api-key"):
        answers.append(await naru.anonymous.get("/v2/nothing", {header: f"Basic {SECRETS['wrong']}"}))
    for _ in range(12):
        answers.append(await wrong.get("/v2/"))
    assert answers[-1].status == 429

    def broken(*_arguments: object) -> None:
        raise RuntimeError(f"cannot reach https://user:{SECRETS['query']}@example.org/ with password={ADMIN_SECRET}")

    monkeypatch.setattr("naru.web.oci.door.read_path", broken)
    answers.append(await naru.admin.get("/v2/team/app/tags/list"))
    assert answers[-1].status == 500
    assert answers[-1].headers["x-request-id"] in answers[-1].message
    token = (await naru.token(naru.admin, "repository:team/app:*")).authorization or ""
    await naru.application.aclose()
    shown = written.getvalue() + hide_secrets(caplog.text)  # as the formatter of the log does with every message
    shown += "".join(answer.body.decode() + str(answer.all_headers) for answer in answers)
    assert '"path": "/v2/"' in shown  # the access log was written
    assert "RuntimeError" in shown
    for name, secret in SECRETS.items():
        assert secret not in shown, name
        assert base64.b64encode(f"{ADMIN_KEY}:{secret}".encode()).decode() not in shown, name
    assert token.partition(" ")[2] not in shown
    assert "Traceback" not in answers[-1].message
