"""Documents and the files around the source say what is true: links, generated pages, commands, targets, the lock."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from naru.cli import main as naru
from naru.settings import variables
from scripts.docs import pages, walk

ROOT = Path(__file__).parent.parent

# Variables that the documents may name beside the settings.
OTHER_VARIABLES = {"NARU_TEST_REQUIRE"}


def own_files() -> list[Path]:
    """Files that are ours: what git tracks or would track; without git, everything outside of what tools make."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        found = [ROOT / name for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        made = {".git", ".venv", ".cache", "__pycache__", "data", "build", "dist", "results"}
        found = [path for path in ROOT.rglob("*") if not made & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file())


def documents() -> list[Path]:
    return [path for path in own_files() if path.suffix == ".md"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Links


def links(text: str) -> Iterator[str]:
    """Targets of Markdown links outside of code."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "", text)
    yield from re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get: lower case, punctuation dropped, spaces as hyphens."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """The links of ``page`` that lead nowhere inside the repository."""
    found = []
    for link in links(text):
        if re.match(r"(https?|mailto):", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        absent = bool(name) and not (target.is_relative_to(ROOT) and target.exists())
        if absent or (anchor and anchor not in anchors(target.read_text(encoding="utf-8") if name else text)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", documents(), ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_found() -> None:
    text = (
        "# One thing\n[a](README.md) [b](#one-thing) [c](https://example.com) `[code](x)`\n\n    [code](x)\n\n"
        "[1](absent.md) [2](#two) [3](README.md#absent) [4](../outside)"
    )
    assert broken(ROOT / "page.md", text) == ["absent.md", "#two", "README.md#absent", "../outside"]


def test_every_page_is_in_the_table_of_contents() -> None:
    named = {
        (index.parent / link).resolve()
        for index in (ROOT / "docs/README.md", ROOT / "docs/decisions/README.md")
        for link in links(index.read_text(encoding="utf-8"))
    }
    pages_there = {path for path in documents() if path.is_relative_to(ROOT / "docs")} - {ROOT / "docs/README.md"}
    assert {relative(path) for path in pages_there - named} == set()


# What is generated or names things of the code


@pytest.mark.parametrize("page", pages(), ids=relative)
def test_generated_pages_are_up_to_date(page: Path) -> None:
    assert page.exists(), "make docs"
    assert page.read_text(encoding="utf-8") == pages()[page], "make docs"


def test_documents_name_only_commands_that_exist() -> None:
    known = {path for path, _ in walk("naru", naru)}
    groups = {path for path in known if any(other.startswith(path + " ") for other in known)}
    wrong = []
    for page in documents():
        for words in re.findall(r"\bnaru((?: [a-z][a-z-]*)+)", code_of(page.read_text(encoding="utf-8"))):
            path = "naru"
            for word in words.split():
                if path not in groups:
                    break
                path += f" {word}"
            if path not in known:
                wrong.append(f"{relative(page)}: {path}")
    assert wrong == []


def code_of(text: str) -> str:
    """Code spans, fenced and indented code of a Markdown page."""
    spans = re.findall(r"```[\s\S]*?```|^ {4,}.*$|`[^`\n]*`", text, flags=re.MULTILINE)
    return "\n".join(spans)


def test_documents_name_only_variables_that_exist() -> None:
    known = set(variables()) | OTHER_VARIABLES
    wrong = [
        f"{relative(page)}: {name}"
        for page in documents()
        for name in re.findall(r"\bNARU_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))
        if name not in known
    ]
    assert wrong == []


def test_every_target_of_the_makefile_has_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", text, flags=re.MULTILINE))
    helped = set(re.findall(r"^## ([a-z]+): \S", text, flags=re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert targets == helped
    assert phony is not None
    assert targets == set(phony[1].split())
    shown = subprocess.run(["make", "-C", str(ROOT)], check=True, capture_output=True, text=True).stdout
    assert all(f"make {target}" in shown for target in targets)


def test_documents_name_only_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    wrong = [
        f"{relative(page)}: make {target}"
        for page in documents()
        for target in re.findall(r"\bmake ([a-z]+)\b", code_of(page.read_text(encoding="utf-8")))
        if target not in targets
    ]
    assert wrong == []


# The lock


def locked(name: str = "requirements.lock") -> dict[str, tuple[str, bool]]:
    """Name of each package in the lock, its version, and whether it has a hash."""
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\n]*(?:\n    [^\n]*)*)", text, flags=re.MULTILINE)
    return {canonicalize_name(name): (version, "--hash=sha256:" in rest) for name, version, rest in entries}


def asked() -> list[Requirement]:
    """What pyproject.toml asks for: runtime, all groups, build backend."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    groups = (*project["dependency-groups"].values(), *project["project"].get("optional-dependencies", {}).values())
    for group in groups:
        texts += [entry for entry in group if isinstance(entry, str)]
    return [Requirement(text) for text in texts]


def test_the_lock_has_what_pyproject_asks_for() -> None:
    found = locked()
    wrong = [
        str(requirement)
        for requirement in asked()
        if not requirement.specifier.contains(found.get(canonicalize_name(requirement.name), ("0", False))[0])
    ]
    assert wrong == [], "make lock"


@pytest.mark.parametrize("name", ["requirements.lock", "deploy/requirements.lock", "deploy/build.lock"])
def test_the_lock_has_hashes_and_no_address(name: str) -> None:
    assert {one for one, (_, hashed) in locked(name).items() if not hashed} == set()
    assert "://" not in (ROOT / name).read_text(encoding="utf-8")


def test_images_are_made_of_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    running = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    found = locked("deploy/requirements.lock")
    assert {canonicalize_name(Requirement(text).name) for text in running} <= found.keys(), "make lock"
    for name in ("deploy/requirements.lock", "deploy/build.lock"):
        assert locked(name).items() <= locked().items(), "make lock"
    assert not {"pytest", "mypy", "hatchling"} & found.keys()


# What belongs to one machine has no place in a file of ours.

MACHINE = {
    "a folder of one machine": re.compile(r"(?<![\w.$}~/])/(?:home|Users|root|work|tmp)/[\w.-]"),
    "the address of a package index": re.compile(
        r"--(?:extra-)?index[-]url|https?://[\w.-]+/(?:\S+/)?simple\b|\bGOPROXY=http|\bdeb https?://"
    ),
}
MACHINE_FREE = {"tests/test_docs.py", "LICENSE"}  # the patterns themselves; a text that is not ours


def machine_words(text: str) -> list[str]:
    return [f"{what}: {found[0]}" for what, pattern in MACHINE.items() if (found := pattern.search(text))]


def test_no_file_names_a_machine() -> None:
    wrong = {}
    for path in own_files():
        if relative(path) not in MACHINE_FREE:
            found = machine_words(path.read_bytes().decode("utf-8", "replace"))
            if found:
                wrong[relative(path)] = found
    assert wrong == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("open('/home/somebody/x')", 1),
        ("cd /root/x; pip --index" + "-url y", 2),
        ("see https://packages.example/simple", 1),
        ("https://example.com/tmp/x and ~/tmp/x, $HOME/tmp/x, src/tmp/x", 0),
        ("/var/lib/naru /srv/x /etc/naru /proc/self", 0),
    ],
)
def test_words_of_a_machine_are_found(text: str, count: int) -> None:
    assert len(machine_words(text)) == count
