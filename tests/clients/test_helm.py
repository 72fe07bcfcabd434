"""helm: charts in and out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.registry import Registry, Shell
from tests.clients.tools import sign_in
from tests.make import sha256

CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


def chart(shell: Shell, version: str) -> Path:
    """A packaged chart ``app``."""
    folder = shell.folder / "app"
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: app\nversion: {version}\ndescription: of the tests\n")
    (folder / "values.yaml").write_text("greeting: hello\n")
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\ndata:\n  text: {{ .Values.greeting }}\n"
    (folder / "templates" / "greeting.yaml").write_text(template)
    shell("helm", "package", folder)
    return shell.folder / f"app-{version}.tgz"


@pytest.fixture
def helm(shell: Shell, registry: Registry) -> Shell:
    sign_in(shell, "helm", registry, registry.admin)
    return shell


@pytest.mark.parametrize(("version", "tag"), [("0.1.0", "0.1.0"), ("0.2.0+build.7", "0.2.0_build.7")])
def test_a_chart_goes_in_and_comes_out(helm: Shell, registry: Registry, tmp_path: Path, version: str, tag: str) -> None:
    packed = chart(helm, version)
    place = f"oci://{registry.host}/team/charts"
    helm("helm", "push", "--plain-http", packed, place)
    document = registry.document("team/charts/app", tag)
    assert [layer["digest"] for layer in document["layers"] if layer["mediaType"] == CHART] == [
        sha256(packed.read_bytes())
    ]
    assert "of the tests" in helm("helm", "show", "chart", "--plain-http", f"{place}/app", "--version", version)
    assert "text: hello" in helm("helm", "template", "--plain-http", "x", f"{place}/app", "--version", version)
    helm("helm", "pull", "--plain-http", f"{place}/app", "--version", version, "-d", tmp_path)
    assert (tmp_path / packed.name).read_bytes() == packed.read_bytes()


def test_the_newest_version_is_found(helm: Shell, registry: Registry, tmp_path: Path) -> None:
    place = f"oci://{registry.host}/team/newest"
    for version in ("1.9.0", "1.10.0", "2.0.0"):
        helm("helm", "push", "--plain-http", chart(helm, version), place)
    helm("helm", "pull", "--plain-http", f"{place}/app", "--version", "^1.0.0", "-d", tmp_path)
    assert [path.name for path in tmp_path.glob("*.tgz")] == ["app-1.10.0.tgz"]


def test_after_signing_out_nothing_is_pulled(helm: Shell, registry: Registry) -> None:
    place = f"oci://{registry.host}/team/out"
    helm("helm", "push", "--plain-http", chart(helm, "1.0.0"), place)
    helm("helm", "registry", "logout", registry.host)
    assert "unauthorized" in helm.refused("helm", "pull", "--plain-http", f"{place}/app", "--version", "1.0.0")


def test_an_uploader_cannot_push_a_chart(shell: Shell, registry: Registry) -> None:
    """helm reads back what it pushed before it gives it a name, and an Image Uploader may not pull."""
    sign_in(shell, "helm", registry, registry.uploader)
    told = shell.refused("helm", "push", "--plain-http", chart(shell, "1.0.0"), f"oci://{registry.host}/team/uploaded")
    assert "may not pull in registry 'team'" in told
    assert registry.tags("team/uploaded/app") == []
