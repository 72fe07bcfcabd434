"""``naru project``, ``naru user``, ``naru key`` and ``naru registry``."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from naru.services import secrets
from tests.cli.conftest import Cli
from tests.conftest import ADMIN_KEY
from tests.databases import on_postgres, place_of, rows


def one(rows: list[dict[str, object]], **wanted: object) -> dict[str, object]:
    (found,) = (row for row in rows if wanted.items() <= row.items())
    return found


def password_hash(data: Path, user: str) -> str:
    return str(rows(place_of(data), "SELECT password_hash FROM users WHERE name = ?", (user,))[0][0])


def test_projects(cli: Cli) -> None:
    (made,) = cli.rows("project", "create", "shop", "--host-label", "shop")
    assert (made["name"], made["host_label"], made["region"], made["default"]) == ("shop", "shop", "kr1", False)
    assert [row["name"] for row in cli.rows("project", "list")] == ["default", "shop"]
    cli.good("project", "set", "shop", "--name", "store", "--host-label", "", "--limit-registries", "0")
    changed = one(cli.rows("project", "list"), name="store")
    assert (changed["host_label"], changed["limit_registries"], changed["appkey"]) == (None, 0, made["appkey"])
    assert "its limit is 0" in cli.refused("registry", "create", "team", "--project", "store")
    cli.good("project", "set", "store", "--limit-registries", "default")
    cli.good("registry", "create", "team", "--project", "store")
    assert "has 1 registries" in cli.refused("project", "delete", "store")
    cli.good("registry", "delete", "team", "--project", "store")
    cli.good("project", "delete", "store")
    assert "default project" in cli.refused("project", "delete", "default")
    assert [row["name"] for row in cli.rows("project", "list")] == ["default"]


def test_registries_of_a_project(cli: Cli) -> None:
    cli.good("project", "create", "shop")
    cli.good("registry", "create", "team", "--project", "shop", "--private-only")
    cli.good("registry", "set", "team", "--project", "shop", "--quota", "5G", "--anonymous-pull")
    (row,) = cli.rows("registry", "list", "--project", "shop")
    assert (row["name"], row["public_uri"], row["anonymous_pull"], row["quota"]) == ("team", False, True, 5 * 1024**3)
    (default,) = cli.rows("registry", "list")
    assert (default["name"], default["public_uri"], default["quota"]) == ("team", True, None)
    cli.good("registry", "set", "team", "--project", "shop", "--quota", "none")
    assert cli.rows("registry", "list", "--project", "shop")[0]["quota"] is None
    assert cli.call("registry", "set", "team", "--quota", "5X").exit_code == 2
    assert "there is no project" in cli.refused("registry", "list", "--project", "none")


def test_users(cli: Cli) -> None:
    cli.good("project", "create", "shop")
    cli.good("user", "create", "kim", "--role", "service-viewer", "--role", "image-uploader")
    cli.good("user", "role", "kim", "--project", "shop", "--add", "project-admin")
    kim = one(cli.rows("user", "list"), name="kim")
    assert kim["roles"] == {"default": ["image-uploader", "service-viewer"], "shop": ["project-admin"]}
    assert (kim["enabled"], kim["service_admin"], kim["password"], kim["keys"]) == (True, False, False, 0)
    cli.good("user", "role", "kim", "--remove", "image-uploader", "--remove", "service-viewer")
    cli.good("user", "disable", "kim")
    kim = one(cli.rows("user", "list"), name="kim")
    assert (kim["roles"], kim["enabled"]) == ({"shop": ["project-admin"]}, False)
    cli.good("user", "enable", "kim")
    cli.good("user", "service-admin", "kim")
    cli.good("user", "delete", "admin")
    assert "last service administrator" in cli.refused("user", "delete", "kim")
    assert "last service administrator" in cli.refused("user", "disable", "kim")
    assert "last service administrator" in cli.refused("user", "service-admin", "kim", "--off")
    assert "there is no user" in cli.refused("user", "role", "none", "--add", "project-admin")
    assert cli.call("user", "create", "lee", "--role", "root").exit_code == 2
    assert "already" in cli.refused("user", "create", "kim")
    assert "there is no project" in cli.refused("user", "create", "lee", "--project", "none", "--role", "project-admin")
    assert [row["name"] for row in cli.rows("user", "list")] == ["kim"]  # not half made


def test_keys(cli: Cli) -> None:
    cli.good("user", "create", "kim")
    (key,) = cli.rows("key", "create", "kim", "--label", "build", "--expires", "30")
    (shown,) = cli.rows("key", "list", "--user", "kim")
    assert (shown["access_key_id"], shown["user"], shown["label"]) == (key["access_key_id"], "kim", "build")
    assert (shown["enabled"], shown["age_days"], shown["rotate"], shown["last_used"]) == (True, 0, False, None)
    assert str(shown["expires"]) > str(shown["created"])
    assert [row["user"] for row in cli.rows("key", "list")] == ["admin", "kim"]
    (new,) = cli.rows("key", "regenerate", str(key["access_key_id"]))
    assert new["secret_access_key"] != key["secret_access_key"]
    cli.good("key", "disable", str(key["access_key_id"]))
    assert cli.rows("key", "list", "--user", "kim")[0]["enabled"] is False
    cli.good("key", "enable", str(key["access_key_id"]))
    cli.good("key", "delete", str(key["access_key_id"]))
    assert cli.rows("key", "list", "--user", "kim") == []
    for command in ("regenerate", "disable", "enable", "delete"):
        assert "there is no access key" in cli.refused("key", command, "none")
    for _ in range(5):
        cli.good("key", "create", "kim")
    assert "the limit is 5" in cli.refused("key", "create", "kim")


def test_a_key_is_changed(cli: Cli) -> None:
    def shown() -> dict[str, object]:
        return one(cli.rows("key", "list"), access_key_id=ADMIN_KEY)

    before = shown()
    cli.good("key", "set", ADMIN_KEY, "--label", "deploys", "--expires", "7")
    changed = shown()
    assert (changed["label"], before["expires"]) == ("deploys", None)
    assert str(changed["expires"]).startswith("20")
    cli.good("key", "set", ADMIN_KEY, "--expires", "never")
    assert shown() == before | {"label": "deploys"}
    assert cli.call("key", "set", ADMIN_KEY).exit_code == 2
    for wrong in ("0", "-1", "36501", "9" * 40, "soon"):
        assert cli.call("key", "set", ADMIN_KEY, "--expires", wrong).exit_code == 2
    assert "there is no" in cli.refused("key", "set", "ABSENT", "--label", "x")


def test_what_the_operator_does_is_in_the_audit_log(cli: Cli) -> None:
    cli.good("user", "create", "kim", "--password", given="a long password\n")
    cli.good("key", "disable", ADMIN_KEY)
    found = rows(place_of(cli.data), "SELECT * FROM account_log WHERE actor = 'operator' ORDER BY id")
    assert [row[3] for row in found] == ["user.create", "access_key.update"]
    assert "a long password" not in str(found)


def test_passwords_come_by_standard_input(cli: Cli) -> None:
    cli.good("user", "create", "kim", "--password", given="the first one\n")
    assert secrets.is_secret_of("the first one", password_hash(cli.data, "kim"))
    cli.good("user", "password", "kim", given="the second one\r\n")
    assert secrets.is_secret_of("the second one", password_hash(cli.data, "kim"))
    assert "nothing came on standard input" in cli.refused("user", "password", "kim")
    message = cli.refused("user", "password", "kim", given="short\n")
    assert "8 to 256 characters" in message
    assert "short" not in message
    assert cli.call("user", "password", "kim", "as-an-argument").exit_code == 2
    assert secrets.is_secret_of("the second one", password_hash(cli.data, "kim"))


def test_tables_are_for_people(cli: Cli) -> None:
    cli.good("user", "create", "kim", "--role", "service-viewer")
    lines = cli.good("user", "list").splitlines()
    assert lines[0].split() == ["NAME", "ENABLED", "SERVICE", "ADMIN", "PASSWORD", "KEYS", "ROLES", "CREATED"]
    assert lines[2].split()[:5] == ["kim", "yes", "no", "no", "0"]
    assert "default: service-viewer" in lines[2]


def test_before_the_first_start(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "data")
    assert "start the server once" in cli.refused("registry", "list")
    assert "start the server once" in cli.refused("user", "create", "kim", "--role", "project-admin")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside threads: the child is replaced at once
def test_a_password_is_asked_for_without_echo(cli: Cli) -> None:
    database = {"NARU_DATABASE_URL": str(place_of(cli.data))} if on_postgres() else {}
    command = [sys.executable, "-m", "naru", "--data", str(cli.data), "user", "password", "admin"]
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, command, os.environ | database)
    shown = b""
    for _ in range(2):
        while not shown.rstrip().endswith(b":"):
            shown += os.read(terminal, 1024)
        os.write(terminal, b"typed on a terminal\n")
        shown += b"|"
    try:
        while more := os.read(terminal, 1024):
            shown += more
    except OSError:  # the terminal is gone with the child
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
    assert shown.count(b":") == 2
    assert b"typed" not in shown
    assert secrets.is_secret_of("typed on a terminal", password_hash(cli.data, "admin"))
