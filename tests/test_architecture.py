"""The plan of the house, kept: which package may import which, and a few rules that no linter has.

The plan is docs/architecture.md. The rules read the source by ``ast`` and run nothing. Each is a function from modules
to complaints, so that the tests at the end can show on small made-up modules that it does complain.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"

# The arrows. Left: a part of naru. Right: the parts that its modules may import, beside themselves. "a.b" allows that
# module and what is in it. "naru" itself (the version) is open to all.
ARROWS: Mapping[str, frozenset[str]] = {
    "core": frozenset(),
    "settings": frozenset(),
    "log": frozenset({"settings"}),
    "clock": frozenset({"core"}),
    "db": frozenset({"core"}),
    "storage": frozenset({"core"}),
    "remotes": frozenset({"core"}),
    "scanners": frozenset({"core"}),
    "services": frozenset({"core", "db"}),
    "jobs": frozenset({"core", "services", "db.queue", "db.engine"}),
    "web": frozenset({"core", "services", "log"}),
    "telemetry": frozenset({"core", "web"}),
    "server": frozenset({"core", "app", "settings", "log", "clock", "services.accounts", "web.door"}),
    "cli": frozenset({"core", "services", "app", "server", "settings", "log", "clock"}),
}
EVERYTHING = frozenset({"app", "__main__"})  # the composition root knows everybody

# Arrows that are not in the table above, each with its reason: importing module, imported module.
EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("naru.web.guard", "naru.db.pull"): "one query tells a registry's facts; a service between would decide nothing",
    ("naru.web.api_guard", "naru.db.pull"): "one query tells a project's facts; a service between would decide nothing",
    ("naru.web.oci.manifests", "naru.db.pull"): "the type of the row that becomes the answer",
}

# Packages of others that one part alone may import: what it wraps must not leak.
ONLY_IN: Mapping[str, frozenset[str]] = {
    "sqlalchemy": frozenset({"db"}),
    "sqlite3": frozenset({"db"}),
    "alembic": frozenset({"db"}),
    "aiosqlite": frozenset({"db"}),
    "asyncpg": frozenset({"db"}),
    "psycopg": frozenset({"db"}),
    "obstore": frozenset({"storage"}),
    "aiohttp": frozenset({"remotes", "scanners"}),
    "granian": frozenset({"server"}),
    "opentelemetry": frozenset({"telemetry"}),
    "click": frozenset({"cli"}),
    "pydantic_settings": frozenset({"settings"}),
}

# Modules of the standard library that do I/O, wait, or read a clock: not for core, which is pure.
IMPURE = frozenset(
    {"asyncio", "http", "logging", "multiprocessing", "os", "shutil", "socket", "ssl", "subprocess", "tempfile"}
    | {"threading", "time", "concurrent", "urllib.request", "secrets", "random"}
)
PURE_EXCEPTIONS: Mapping[tuple[str, str], str] = {}  # (module, impure module): reason

# Calls that read the wall clock. ``time.monotonic`` and ``perf_counter`` measure intervals and are free for all.
CLOCK_CALLS = frozenset(
    {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"}
    | {"datetime.date.today"}
)
CLOCK_MODULES: Mapping[str, str] = {
    "naru.clock": "the implementation of Clock",
    "naru.storage.object.address": "tells the library until when a credential is good",
    "naru.storage.memory": "stands in for a file system, which stamps files by itself",
}

MAX_LINES = 400
LONG_FILES: Mapping[str, str] = {}  # path: why it is better in one piece


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name (a package's is without ``__init__``), its text, and what that says."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def part(self) -> str:
        """``db`` for ``naru.db.queue``; "" for ``naru`` itself."""
        return [*self.name.split("."), ""][1]

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of what is imported; ``from a import b`` gives ``a.b``, a module or a name in one."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def aliases(self) -> dict[str, str]:
        """Local name of each import and what it stands for: ``from time import time as t`` gives ``t: time.time``."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                found |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
        return found


@cache
def modules() -> list[Module]:
    """All of the source; read, and each module parsed, once."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        found.append(
            Module(".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package)
        )
    return found


def within(name: str, ancestor: str) -> bool:
    return name == ancestor or name.startswith(ancestor + ".")


def arrows(source: list[Module]) -> Iterator[str]:
    """Imports between the parts of naru follow ``ARROWS``; a part that the table does not have is a complaint, too."""
    for module in source:
        if module.part in EVERYTHING or not module.part:
            continue
        if module.part not in ARROWS:
            yield f"{module.name}: the part {module.part!r} has no line in ARROWS"
            continue
        allowed = [f"naru.{part}" for part in (*ARROWS[module.part], module.part)]
        for line, name in module.imports():
            if not name.startswith("naru.") or name == "naru.__version__":
                continue
            if any(within(name, ancestor) for ancestor in allowed):
                continue
            if any(module.name == left and within(name, right) for left, right in EXCEPTIONS):
                continue
            yield f"{module.name}:{line}: {module.part} may not import {name}"


def purity(source: list[Module]) -> Iterator[str]:
    """``core`` imports the standard library only, and of that nothing that does I/O, waits or reads a clock."""
    for module in source:
        if module.part != "core":
            continue
        for line, name in module.imports():
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "naru":
                yield f"{module.name}:{line}: core may not import {name}, which is not in the standard library"
            for impure in IMPURE:
                if within(name, impure) and (module.name, impure) not in PURE_EXCEPTIONS:
                    yield f"{module.name}:{line}: core may not import {impure}: it is pure"


def wrapped(source: list[Module]) -> Iterator[str]:
    """A package of others is imported only by the part that wraps it."""
    for module in source:
        for line, name in module.imports():
            homes = ONLY_IN.get(name.split(".")[0])
            if homes is not None and module.part not in homes:
                yield f"{module.name}:{line}: {name} is for {', '.join(sorted(homes))} only"


def clock(source: list[Module]) -> Iterator[str]:
    """Nothing but ``naru.clock`` reads the wall clock, so that tests can set the time."""
    for module in source:
        if module.name in CLOCK_MODULES:
            continue
        aliases = module.aliases()
        for node in ast.walk(module.tree):
            # Any mention counts, not only a call: `default_factory=time.time` reads the clock as well.
            if isinstance(node, ast.Attribute | ast.Name) and full_name(node, aliases) in CLOCK_CALLS:
                yield f"{module.name}:{node.lineno}: {full_name(node, aliases)} reads the wall clock; take a Clock"


def full_name(node: ast.expr, aliases: Mapping[str, str]) -> str:
    """``datetime.datetime.now`` for ``dt.now`` after ``from datetime import datetime as dt``; "" for anything else."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{full_name(node.value, aliases)}.{node.attr}"
    return ""


BUILTIN_ERRORS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)


def unraised(source: list[Module]) -> Iterator[str]:
    """An error that is built and then neither raised, returned nor handed on is a ``raise`` that was forgotten."""
    errors = error_classes(source)
    for module in source:
        for scope in ast.walk(module.tree):
            if isinstance(scope, ast.Expr) and is_error(scope.value, errors):
                yield f"{module.name}:{scope.lineno}: this error is built and not raised"
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from (
                    f"{module.name}:{line}: the error {name!r} is not raised" for line, name in unused(scope, errors)
                )


def error_classes(source: list[Module]) -> set[str]:
    """Names of all exception classes: the built-in ones and those of naru that descend from one."""
    errors = set(BUILTIN_ERRORS)
    classes = [node for module in source for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    while found := {c.name for c in classes if c.name not in errors and any(last_name(b) in errors for b in c.bases)}:
        errors |= found
    return errors


def last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def is_error(node: ast.expr | None, errors: set[str]) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in errors


def unused(function: ast.FunctionDef | ast.AsyncFunctionDef, errors: set[str]) -> Iterator[tuple[int, str]]:
    """Line and name of the variables that hold a new error and are never read."""
    read = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and is_error(node.value, errors):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id not in read:
                    yield node.lineno, target.id


Rule = Callable[[list[Module]], Iterator[str]]
RULES: list[Rule] = [arrows, purity, wrapped, clock, unraised]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Rule) -> None:
    found = modules()
    assert found, f"no source in {SOURCE}"
    assert list(rule(found)) == []


def test_files_can_be_read_in_one_sitting() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("src", "tests", "bench", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    }
    too_long = {path: lines for path, lines in lengths.items() if lines > MAX_LINES and path not in LONG_FILES}
    assert too_long == {}, f"above {MAX_LINES} lines: make it a package of the same name"
    assert [path for path in LONG_FILES if lengths.get(path, 0) <= MAX_LINES] == [], "no longer needed in LONG_FILES"


def test_exceptions_are_still_needed() -> None:
    used = {(m.name, name) for m in modules() for _, name in m.imports()}
    for left, right in (*EXCEPTIONS, *PURE_EXCEPTIONS):
        assert any(m == left and within(name, right) for m, name in used), f"{left} no longer imports {right}"


# That the rules can complain, and do not complain of what is right.


def made(name: str, text: str) -> list[Module]:
    return [
        Module("naru.core.errors", "class NaruError(Exception): pass\nclass Gone(NaruError): pass"),
        Module(name, text),
    ]


BAD: list[tuple[Rule, str, str]] = [
    (arrows, "naru.core.names", "import naru.db"),
    (arrows, "naru.core.names", "from naru.settings import Settings"),
    (arrows, "naru.db.images", "from naru.services.images import Images"),
    (arrows, "naru.db.images", "from naru import services"),
    (arrows, "naru.db.images", "from ..services import images"),
    (arrows, "naru.storage.memory", "from naru.db import queue"),
    (arrows, "naru.services.images", "from naru.web import guard"),
    (arrows, "naru.web.oci.tags", "from naru.db.pull import find"),
    (arrows, "naru.web.oci.tags", "def f():\n    import naru.storage"),
    (arrows, "naru.jobs.worker", "from naru.db.images import find"),
    (arrows, "naru.settings.check", "from naru.core.names import Tag"),
    (arrows, "naru.helpers", "x = 1"),
    (purity, "naru.core.names", "import msgspec"),
    (purity, "naru.core.names", "from asyncio import sleep"),
    (purity, "naru.core.names", "import os.path"),
    (purity, "naru.core.names", "import urllib.request"),
    (wrapped, "naru.services.images", "import sqlalchemy.exc"),
    (wrapped, "naru.web.api.images", "from sqlite3 import Connection"),
    (wrapped, "naru.core.names", "from granian.server.embed import Server"),
    (clock, "naru.db.images", "import time\nx = time.time()"),
    (clock, "naru.db.images", "import time as t\nx = t.time_ns()"),
    (clock, "naru.db.images", "from time import time as t\nx = t()"),
    (clock, "naru.db.images", "from datetime import datetime, UTC\nx = datetime.now(UTC)"),
    (clock, "naru.db.images", "import datetime as d\nx = d.date.today()"),
    (clock, "naru.db.images", "import time\nx = field(default_factory=time.time)"),
    (unraised, "naru.services.images", "def f():\n    Gone('x')"),
    (unraised, "naru.services.images", "def f():\n    errors.Gone('x')"),
    (unraised, "naru.services.images", "ValueError('x')"),
    (unraised, "naru.services.images", "class Mine(Gone): pass\nasync def f():\n    Mine('x')"),
    (unraised, "naru.services.images", "def f():\n    error = Gone('x')\n    return 1"),
]

GOOD: list[tuple[Rule, str, str]] = [
    (arrows, "naru.app", "from naru.web import guard\nimport naru.db"),
    (arrows, "naru.jobs.worker", "from naru.db.queue import claim\nfrom naru.db import queue"),
    (arrows, "naru.services.images", "from naru.core import errors\nfrom naru.db.images import find"),
    (arrows, "naru.db.images", "from .schema import blobs\nfrom naru import __version__"),
    (purity, "naru.core.names", "import re\nfrom urllib.parse import quote\nfrom naru.core import digest"),
    (wrapped, "naru.db.images", "import sqlalchemy, sqlite3, alembic.op"),
    (clock, "naru.clock", "import time\nx = time.time_ns()"),
    (clock, "naru.db.images", "import time\nx = time.monotonic()\ny = row.time.time"),
    (unraised, "naru.services.images", "def f():\n    raise Gone('x') from None"),
    (unraised, "naru.services.images", "def f():\n    return Gone('x')"),
    (unraised, "naru.services.images", "def f():\n    error = Gone('x')\n    raise error"),
    (unraised, "naru.services.images", "def f(future):\n    future.set_exception(Gone('x'))"),
]


@pytest.mark.parametrize(("rule", "name", "text"), BAD)
def test_a_rule_complains(rule: Rule, name: str, text: str) -> None:
    assert len(list(rule(made(name, text)))) == 1


@pytest.mark.parametrize(("rule", "name", "text"), GOOD)
def test_a_rule_is_silent(rule: Rule, name: str, text: str) -> None:
    assert list(rule(made(name, text))) == []
