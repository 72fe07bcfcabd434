"""Which tests have to do with a database: those that are run again on another one."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: What has one, beside all that comes to it by imports: of the fixtures of ``tests/conftest.py``, these.
FIXTURES = frozenset({"naru", "made_data", "server"})
MODULES = frozenset({"tests.conftest", "tests.databases", "tests.server"})


def touches_a_database(item: pytest.Item) -> bool:
    """Whether the test, or a fixture that it uses, starts an application or asks a database."""
    names = set(getattr(item, "fixturenames", ()))
    if names & FIXTURES:
        return True
    files = {item.path}
    known = getattr(item, "_fixtureinfo", None)
    for definitions in () if known is None else known.name2fixturedefs.values():
        files |= {Path(inspect.getfile(inspect.unwrap(one.func))) for one in definitions}
    return any(_reaches(file) for file in files if TESTS in file.parents and file != TESTS / "conftest.py")


@cache
def _imports(file: Path) -> frozenset[str]:
    """Modules of the tests that a module imports, itself or by others."""
    found: set[str] = set()
    waiting = [file]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                place = TESTS.parent.joinpath(*name.split(".")).with_suffix(".py")
                if name.startswith("tests.") and name not in found and place.exists():
                    found.add(name)
                    if name not in MODULES:
                        waiting.append(place)
    return frozenset(found)


def _reaches(file: Path) -> bool:
    return bool(_imports(file) & MODULES)
