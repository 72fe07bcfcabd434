"""The chart, rendered: what Kubernetes gets in each mode, and what is refused before it gets anything."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from naru.settings import Settings, check, variables
from tests.deploy.files import CHART, documents
from tests.programs import program

URL = {"externalUrl": "https://registry.example.com"}
CLUSTER = URL | {
    "mode": "cluster",
    "database.url": "postgresql://naru:db-password@db/naru",
    "blobStore.url": "s3://bucket/prefix?region=eu-central-1",
}
EVERYTHING = CLUSTER | {
    "ingress.enabled": "true",
    "ingress.tlsSecret": "tls",
    "autoscaling.enabled": "true",
    "metrics.serviceMonitor.enabled": "true",
    "networkPolicy.enabled": "true",
    "bootstrap.password": "bootstrap-password",
    "trustedProxies": "{10.0.0.0/8}",
}


def helm(*words: str, **values: str) -> subprocess.CompletedProcess[str]:
    settings = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    command = [program("helm"), *words, *settings]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def rendered(version: str = "1.31.0", /, **values: str) -> dict[tuple[str, str], Any]:
    """The objects by kind and name, for a version of Kubernetes."""
    done = helm("template", "r", str(CHART), "--kube-version", version, **values)
    assert done.returncode == 0, done.stderr
    return {(one["kind"], one["metadata"]["name"]): one for one in documents(done.stdout)}


def pod(objects: dict[tuple[str, str], Any]) -> Any:
    return objects["Deployment", "r-naru"]["spec"]["template"]["spec"]


def container(objects: dict[tuple[str, str], Any]) -> Any:
    (one,) = pod(objects)["containers"]
    return one


@pytest.mark.parametrize("values", [URL, CLUSTER, EVERYTHING], ids=["single", "cluster", "everything"])
def test_lint(values: dict[str, str]) -> None:
    done = helm("lint", "--strict", str(CHART), **values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
@pytest.mark.parametrize("values", [URL, CLUSTER, EVERYTHING], ids=["single", "cluster", "everything"])
def test_kubernetes_knows_every_field(values: dict[str, str], version: str) -> None:
    """By the schemas that Kubernetes publishes of its API, of the oldest version that the chart takes and newer ones.
    Only the ServiceMonitor is not Kubernetes' own."""
    objects = rendered(f"{version}.0", **values)
    checked = 0
    for (kind, _name), one in objects.items():
        if kind != "ServiceMonitor":
            kubernetes_validate.validate(one, version, strict=True)
            checked += 1
    assert checked == len(objects) - ("ServiceMonitor" in {kind for kind, _ in objects}) > 4
    container(objects)["livenessProbe"]["periodSecond"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="periodSecond"):
        kubernetes_validate.validate(objects["Deployment", "r-naru"], version, strict=True)


def test_single_is_one_pod_with_a_volume() -> None:
    objects = rendered(**URL, replicaCount="3")
    spec = objects["Deployment", "r-naru"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    claim = objects["PersistentVolumeClaim", "r-naru"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    volumes = {one["name"]: one for one in pod(objects)["volumes"]}
    assert volumes["data"] == {"name": "data", "persistentVolumeClaim": {"claimName": "r-naru"}}
    assert {kind for kind, _ in objects}.isdisjoint({"PodDisruptionBudget", "HorizontalPodAutoscaler"})
    assert "NARU_DATABASE_URL" not in json.dumps(objects["Deployment", "r-naru"])


def test_cluster_keeps_its_secrets_in_a_secret() -> None:
    objects = rendered(**EVERYTHING)
    secret = objects["Secret", "r-naru"]
    data = {name: base64.b64decode(value) for name, value in secret["data"].items()}
    assert len(data["secret.key"]) == 32
    assert data["database-url"].decode() == CLUSTER["database.url"]
    assert data["bootstrap-password"] == b"bootstrap-password"
    others = json.dumps([one for (kind, _), one in objects.items() if kind != "Secret"])
    assert "db-password" not in others
    assert "bootstrap-password" not in others.replace('"key": "bootstrap-password"', "")
    mounts = {one["mountPath"]: one for one in container(objects)["volumeMounts"]}
    assert mounts["/var/lib/naru/secret.key"]["subPath"] == "secret.key"


def test_an_existing_secret_stands_for_the_charts() -> None:
    objects = rendered(**(CLUSTER | {"database.url": "", "existingSecret": "mine"}))
    assert ("Secret", "r-naru") not in objects
    named = {one["valueFrom"]["secretKeyRef"]["name"] for one in container(objects)["env"]}
    assert named == {"mine"}
    assert next(one for one in pod(objects)["volumes"] if one["name"] == "key")["secret"]["secretName"] == "mine"


def test_cluster_rolls_and_scales() -> None:
    objects = rendered(**EVERYTHING)
    spec = objects["Deployment", "r-naru"]["spec"]
    assert "replicas" not in spec  # the autoscaler's
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert objects["HorizontalPodAutoscaler", "r-naru"]["spec"]["scaleTargetRef"]["name"] == "r-naru"
    assert objects["PodDisruptionBudget", "r-naru"]["spec"]["maxUnavailable"] == 1
    assert objects["Ingress", "r-naru"]["spec"]["rules"][0]["host"] == "registry.example.com"
    assert rendered(**CLUSTER)["Deployment", "r-naru"]["spec"]["replicas"] == 2
    drain = int(objects["ConfigMap", "r-naru"]["data"]["NARU_DRAIN_SECONDS"])
    assert pod(objects)["terminationGracePeriodSeconds"] >= drain + 5  # the preStop hook's


def test_what_selects_finds() -> None:
    """Selectors and ports of services, monitors, budgets and policies are those of the pods."""
    objects = rendered(**EVERYTHING)
    labels = objects["Deployment", "r-naru"]["spec"]["template"]["metadata"]["labels"]
    ports = {one["name"] for one in container(objects)["ports"]}
    for (kind, _), one in objects.items():
        if kind == "Service":
            assert one["spec"]["selector"].items() <= labels.items()
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
        if kind in {"PodDisruptionBudget", "Deployment"}:
            assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        if kind == "NetworkPolicy":
            assert one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    monitor = objects["ServiceMonitor", "r-naru"]["spec"]["selector"]["matchLabels"]
    selected = [
        name
        for (kind, name), one in objects.items()
        if kind == "Service" and monitor.items() <= one["metadata"]["labels"].items()
    ]
    assert selected == ["r-naru-metrics"]
    assert [rule["ports"] for rule in objects["NetworkPolicy", "r-naru"]["spec"]["ingress"]] == [[{"port": "http"}]]


@pytest.mark.parametrize("values", [URL, EVERYTHING], ids=["single", "everything"])
def test_pods_have_no_rights(values: dict[str, str]) -> None:
    objects = rendered(**values)
    assert pod(objects)["securityContext"]["runAsNonRoot"] is True
    assert pod(objects)["automountServiceAccountToken"] is False
    assert pod(objects)["enableServiceLinks"] is False
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {
        name: container(objects)[name]["httpGet"]["path"]
        for name in ("livenessProbe", "readinessProbe", "startupProbe")
    }
    assert probes == {"livenessProbe": "/healthz", "readinessProbe": "/readyz", "startupProbe": "/healthz"}


def test_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable that the chart sets exists, and a server takes them."""
    objects = rendered(
        **URL, **{"config.access_log": "errors", "config.trash_days": "3", "trustedProxies": "{10.0.0.0/8}"}
    )
    data = objects["ConfigMap", "r-naru"]["data"]
    names = {*data, *(one["name"] for one in container(objects)["env"])}
    assert names <= set(variables())
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NARU_DATA", ".")
    settings = Settings()
    assert (settings.access_log, settings.trash_days, settings.public) == ("errors", 3, "0.0.0.0:5000")
    assert [one for one in check(settings) if one.level == "error"] == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "externalUrl"),
        (URL | {"mode": "many"}, "mode"),
        (URL | {"mode": "cluster"}, "blobStore.url"),
        (CLUSTER | {"database.url": ""}, "database.url"),
        (CLUSTER | {"database.url": "mysql://x"}, "database"),
        (URL | {"database.url": "postgresql://a/b"}, "one pod with SQLite"),
        (URL | {"autoscaling.enabled": "true"}, "one pod with SQLite"),
        (URL | {"replicas": "2"}, "replicas"),
        (URL | {"config.bootstrap_password": "in-a-config-map"}, "bootstrap_password"),
        (URL | {"bootstrap.password": "short"}, "password"),
        (URL | {"persistence.accessModes": "{ReadWriteMany}"}, "accessModes"),
        (URL | {"image.digest": "sha256:1"}, "digest"),
        ({"externalUrl": "https://a.example/path"}, "externalUrl"),
    ],
)
def test_what_is_refused(values: dict[str, str], words: str) -> None:
    done = helm("template", "r", str(CHART), "--kube-version", "1.31.0", **values)
    assert done.returncode != 0
    assert words in done.stderr
