"""Every command that cannot do what it is asked: one sentence on stderr, its exit status, nothing half made.

Status 1: refused or failed; 2: settings or arguments that are wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from naru.cli import main
from naru.db import sqlite
from tests import databases
from tests.cli.conftest import Cli
from tests.conftest import ADMIN_KEY, copy_data
from tests.databases import place_of, sqlite_only

#: Arguments, exit status, what is said.
REFUSED: list[tuple[str, int, str]] = [
    ("user create admin", 1, 'there is a user "admin" already'),
    ("user create Admin", 1, 'could take for "Admin"'),
    ("user create a<b", 1, "is not allowed"),
    ("user create \udcff", 1, "half of a character"),
    ("user create kim --role root", 2, "'root' is not one of"),
    ("user create kim --project none --role project-admin", 1, "there is no project"),
    ("user create", 2, "Missing argument 'NAME'"),
    ("user create kim lee", 2, "unexpected extra argument"),
    ("user role none --add project-admin", 1, 'there is no user "none"'),
    ("user role none --remove project-admin", 1, 'there is no user "none"'),
    ("user role admin --add project-admin --project none", 1, "there is no project"),
    ("user role admin", 2, "--add or to --remove"),
    ("user role admin --add project-admin --remove project-admin", 2, "either --add or --remove"),
    ("user password none", 1, "nothing came on standard input"),
    ("user service-admin none", 1, 'there is no user "none"'),
    ("user service-admin admin --off", 1, "last service administrator"),
    ("user disable none", 1, 'there is no user "none"'),
    ("user disable admin", 1, "last service administrator"),
    ("user enable none", 1, 'there is no user "none"'),
    ("user delete none", 1, 'there is no user "none"'),
    ("user delete admin", 1, "last service administrator"),
    ("user rename admin", 2, "No such command 'rename'"),
    ("key create none", 1, 'there is no user "none"'),
    ("key create admin --expires 0", 2, "is not in the range"),
    ("key create admin --expires 99999999", 2, "is not in the range"),
    ("key create admin --label \x1b[31m", 1, "printable characters"),
    ("key create admin --label " + "x" * 129, 1, "at most 128"),
    ("key list --user none", 1, 'there is no user "none"'),
    ("key regenerate none", 1, "there is no access key"),
    ("key disable none", 1, "there is no access key"),
    ("key enable none", 1, "there is no access key"),
    ("key delete none", 1, "there is no access key"),
    ("project create default", 1, "already"),
    ("project create x --host-label A_B", 1, "host label"),
    ("project create x --region A_B", 1, "a region has"),
    ("project create x --appkey a/b", 1, "an appkey has"),
    ("project set none --name x", 1, "there is no project"),
    ("project set default", 2, "say what to change"),
    ("project set default --limit-tags many", 2, "neither a number nor 'default'"),
    ("project set default --limit-tags \uff11", 2, "neither a number nor 'default'"),
    ("project set default --limit-tags -5", 2, "neither a number nor 'default'"),
    ("project set default --limit-tags 99999999999999999999", 1, "at most 1000000000"),
    ("project delete none", 1, "there is no project"),
    ("project delete default", 1, "default project"),
    ("registry create team", 1, "there is a registry 'team' already"),
    ("registry create Team", 1, "lower-case letters"),
    ("registry create x --project none", 1, "there is no project"),
    ("registry list --project none", 1, "there is no project"),
    ("registry set none --anonymous-pull", 1, "there is no registry 'none'"),
    ("registry set team", 2, "say what to change"),
    ("registry set team --quota 5X", 2, "neither a number of bytes"),
    ("registry set team --quota -5", 2, "neither a number of bytes"),
    ("registry set team --quota 9999999999T", 1, "a quota is 0 to"),
    ("registry delete none", 1, "there is no registry 'none'"),
    ("frobnicate", 2, "No such command 'frobnicate'"),
    ("--nothing user list", 2, "No such option '--nothing'"),
]


@pytest.fixture(scope="module")
def same(made_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """One installation for all: nothing of it changes."""
    folder = tmp_path_factory.mktemp("same") / "data"
    copy_data(made_data, folder)
    return Cli(folder)


def rows(data: Path) -> list[tuple[object, ...]]:
    tables = ("users", "memberships", "access_keys", "projects", "registries", "audit_log", "account_log")
    return [row for table in tables for row in databases.rows(place_of(data), f"SELECT * FROM {table}")]


@pytest.mark.parametrize(("arguments", "status", "says"), REFUSED, ids=[ascii(row[0]) for row in REFUSED])
def test_refusals(same: Cli, arguments: str, status: int, says: str) -> None:
    before = rows(same.data)
    result = same.call(*arguments.split(" "))
    assert result.exit_code == status, result.output
    assert says in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "\x1b" not in result.stderr
    assert rows(same.data) == before


def commands(
    group: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))
    else:
        yield path, group


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help(path: tuple[str, ...]) -> None:
    """Each says what it does, and what each option does."""
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert f"Usage: main {' '.join(path)}" in result.stdout
    command = ALL[path]
    assert command.help
    for one in command.params:
        if isinstance(one, click.Option):
            assert one.help, one.name
    lists = path[-1] == "list" or path in {("fsck",), ("key", "create"), ("key", "regenerate"), ("project", "create")}
    assert any(one.name == "as_json" for one in command.params) or not lists


#: Commands of an operator, with arguments that would do.
WORK = (
    "user create kim",
    "user list",
    f"key disable {ADMIN_KEY}",
    "key list",
    "project create x",
    "project list",
    "registry create x",
    "registry list",
    "gc",
    "fsck",
)


@sqlite_only("it is about the file")
@pytest.mark.parametrize("arguments", WORK)
def test_where_there_is_no_installation(tmp_path: Path, arguments: str) -> None:
    """A folder that was misspelt is told, and not made."""
    message = Cli(tmp_path / "typo").refused(*arguments.split())
    assert f"there is no installation in {tmp_path / 'typo'}" in message
    assert not (tmp_path / "typo").exists()


@sqlite_only("its one writer is held")
@pytest.mark.parametrize("arguments", ["user create kim", "registry create x", "project create x", "key create admin"])
def test_a_database_that_somebody_holds(cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    """A server that runs does so for milliseconds; who holds it for longer is told, with nothing made."""
    patience = tuple("PRAGMA busy_timeout=200" if "busy_timeout" in one else one for one in sqlite.PRAGMAS)
    monkeypatch.setattr(sqlite, "PRAGMAS", patience)
    before = rows(cli.data)
    with sqlite3.connect(cli.data / "naru.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        message = cli.refused(*arguments.split())
        other.execute("ROLLBACK")
    other.close()
    assert "database" in message
    assert rows(cli.data) == before
    cli.good(*arguments.split())


@sqlite_only("it is about the file")
@pytest.mark.parametrize("arguments", WORK)
def test_a_file_that_is_no_database(tmp_path: Path, arguments: str) -> None:
    (tmp_path / "naru.db").write_bytes(b"somebody's notes, long enough to be looked at as a database " * 50)
    message = Cli(tmp_path).refused(*arguments.split())
    assert "cannot be read (file is not a database)" in message


def test_settings_that_are_wrong(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("NARU_PUBLIC", "5"), ("NARU_CONFIG", "/nonexistent"), ("NARU_LIMIT_TAGS", "many")):
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            for arguments in WORK:
                result = cli.call(*arguments.split())
                assert result.exit_code == 2, (name, arguments, result.output)
                assert result.stderr.startswith("error: ")
                assert "Traceback" not in result.stderr
