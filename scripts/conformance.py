"""Run the OCI conformance suite against Naru and write the page of its results: ``python -m scripts.conformance``.

The suite is the program ``conformance`` of the distribution specification; ``.ci/run`` says which version and installs
it. ``tests/conformance`` runs the same and keeps the page equal to what comes out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.server import ACCESS_KEY, SECRET_KEY, Server, running

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "conformance.md"
SECONDS = 300.0
#: What the suite puts before the name of each of its tests.
SUITE = "OCI Conformance Test/"


@dataclass(frozen=True)
class Setup:
    """One way to run the suite: settings of the server, variables of the suite, and where its second image lies."""

    title: str
    says: str
    server: dict[str, str]
    suite: dict[str, str]
    second: str
    public_registry: bool = False


FULL = Setup(
    title="Everything on",
    says="every switch of the suite on, manifests with missing blobs allowed (`NARU_ALLOW_SPARSE_MANIFESTS=1`), the "
    "suite's second image in a registry that anybody may pull from",
    server={"NARU_ALLOW_SPARSE_MANIFESTS": "1"},
    suite={"OCI_DATA_SPARSE": "true"},
    second="open/repo2",
    public_registry=True,
)
DEFAULT = Setup(
    title="Defaults",
    says="the defaults of Naru and of the suite, both images in one registry that asks everybody to sign in",
    server={},
    suite={},
    second="conformance/repo2",
)
SETUPS = (FULL, DEFAULT)


@dataclass(frozen=True)
class Results:
    """What one run found. ``cases`` has (name, status) of every test, status as JUnit calls it."""

    counts: dict[str, int]  # passed, skipped, failed, errors, disabled
    apis: dict[str, str]
    data: dict[str, str]
    cases: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]  # name and message of each test that failed

    def skipped(self) -> list[str]:
        return [name for name, status in self.cases if status == "skipped"]


def run(program: str, folder: Path, setup: Setup) -> Results:
    """Run the suite (path ``program``) against a new server in ``folder``; ``RuntimeError`` when there is no report."""
    environment = {"NARU_BOOTSTRAP_REGISTRIES": "conformance"} | setup.server
    with running(folder / "data", **environment) as server:
        if setup.public_registry:
            made = server.naru("registry", "create", "open", "--anonymous-pull")
            if made.returncode != 0:
                raise RuntimeError(made.stderr)
        done = subprocess.run(
            [program],
            cwd=folder,
            env=variables(server, setup),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    results = folder / "results"
    if not (results / "junit.xml").is_file():
        raise RuntimeError(f"the suite made no report:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return read(results)


def variables(server: Server, setup: Setup) -> dict[str, str]:
    """The suite's environment: what the caller set for another suite is left out."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OCI_")}
    own = {
        "OCI_REGISTRY": server.host,
        "OCI_TLS": "disabled",
        "OCI_REPO1": "conformance/repo1",
        "OCI_REPO2": setup.second,
        "OCI_USERNAME": ACCESS_KEY,
        "OCI_PASSWORD": SECRET_KEY,
        "OCI_VERSION": "dev",
    }
    return inherited | own | setup.suite


def read(folder: Path) -> Results:
    """The suite's reports: ``results.yaml`` for APIs and data, ``junit.xml`` for every test."""
    sections = _sections((folder / "results.yaml").read_text(encoding="utf-8"))
    suite = ET.parse(folder / "junit.xml").getroot()[0]  # noqa: S314 - written by the suite a moment ago
    cases = suite.findall("testcase")
    bad = [case for case in cases if case.get("status") not in {"passed", "skipped"}]
    numbers = {name: int(suite.get(name, "0")) for name in ("tests", "skipped", "failures", "errors", "disabled")}
    total = numbers.pop("tests")
    return Results(
        counts={"passed": total - sum(numbers.values()), **numbers},
        apis=sections["apis"],
        data=sections["data"],
        cases=tuple((_name(case), case.get("status", "")) for case in cases),
        problems=tuple(f"{_name(case)}: {(case.findtext('system-out') or '').strip()}" for case in bad),
    )


def _name(case: ET.Element) -> str:
    return case.get("name", "").removeprefix(SUITE)


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Top-level maps of a YAML file whose values are plain words, as the suite writes them."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in text.splitlines():
        if top := re.fullmatch(r"(\w+):", line):
            section = found.setdefault(top[1], {})
        elif entry := re.fullmatch(r"  (\S[^:]*): (\w+)", line):
            section[entry[1]] = entry[2]
    return found


def version() -> str:
    """The version of the suite that ``.ci/run`` installs; ``IndexError`` when it installs none."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    return str(re.findall(r"distribution-spec/conformance (v\S+?)\"", text)[0])


def page(results: Sequence[Results]) -> str:
    """The page for the results of ``SETUPS``, in Markdown. Nothing of it depends on the machine or the day."""
    full, default = results
    lines = [
        "# Conformance",
        "",
        "<!-- Written by `python -m scripts.conformance` from results of the suite: change it there. -->",
        "",
        "The conformance suite of the OCI distribution specification (`github.com/opencontainers/distribution-spec/`",
        f"`conformance` {version()}) runs in every check of the project, against a",
        "real server process, signed in, at version `dev` of the specification: 1.1 and what the next one adds.",
        "",
        "| Run | Passed | Failed | Errors | Skipped | Disabled |",
        "|---|---|---|---|---|---|",
    ]
    for setup, result in zip(SETUPS, results, strict=True):
        counts = result.counts
        figures = [counts[name] for name in ("passed", "failures", "errors", "skipped", "disabled")]
        lines.append(f"| {setup.title} | " + " | ".join(str(figure) for figure in figures) + " |")
    lines += ["", *(f"- **{setup.title}**: {setup.says}." for setup in SETUPS), ""]
    lines += _explanations(default)
    lines += ["", "## API", "", *_table("API", full.apis, default.apis)]
    lines += ["", "## Content", "", *_table("Content", full.data, default.data)]
    lines += [
        "",
        "## Run it",
        "",
        "With the suite's program `conformance` on the `PATH`, from a clone:",
        "",
        "    .venv/bin/python -m scripts.conformance",
        "",
        "It runs both, writes this page, and ends with status 1 when a test failed.",
    ]
    return "\n".join(lines) + "\n"


def _explanations(default: Results) -> list[str]:
    """Why tests are skipped or disabled with the defaults."""
    skipped = ", ".join(f"`{name}`" for name in default.skipped())
    return [
        "## What is skipped and why",
        "",
        f"With the defaults the suite skips {skipped}.",
        "",
        "A mount takes a blob from another image without sending it. Naru mounts only from images that the token of",
        "the request may pull from, or that anybody may pull from: a token for one image must not open another. The",
        "suite reuses its token for the first image, which says nothing of the second, so Naru answers 202, the client",
        "sends the blob as the specification provides, and the suite counts the test as skipped. Clients that name the",
        "source in their token, as skopeo, podman, crane and containerd do, mount; where a request comes without a",
        "token, the challenge names both images. In the first run the second image is public, so every mount happens.",
        "",
        "Manifests with missing blobs are refused by default, because such an image cannot be pulled; the",
        "specification leaves that to the registry, and the suite's switch for them is off by default.",
    ]


def _table(title: str, full: dict[str, str], default: dict[str, str]) -> list[str]:
    lines = [f"| {title} | {FULL.title} | {DEFAULT.title} |", "|---|---|---|"]
    return lines + [f"| {name} | {full[name].lower()} | {default.get(name, '-').lower()} |" for name in sorted(full)]


def main() -> int:
    program = shutil.which("conformance")
    if program is None:
        print("there is no program `conformance` on the PATH; .ci/run installs it", file=sys.stderr)
        return 2
    results = []
    for setup in SETUPS:
        with tempfile.TemporaryDirectory() as folder:
            results.append(run(program, Path(folder), setup))
        print(f"{setup.title}: {results[-1].counts}")
        for problem in results[-1].problems:
            print(problem, file=sys.stderr)
    PAGE.write_text(page(results), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
    return 1 if any(result.problems for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
