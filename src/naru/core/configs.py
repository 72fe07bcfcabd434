"""What an artifact's config and an index's children say of it, bounded: they come from outside, unchecked.

Sources: OCI image spec, "Image Configuration" and "Image Index"; Helm, "Chart.yaml"; Harbor's names of artifact types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from naru.core import strict_json
from naru.core.manifest import DOCKER_CONFIG, OCI_CONFIG, Descriptor, Manifest

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
WASM_CONFIGS = frozenset({"application/vnd.wasm.config.v1+json", "application/vnd.wasm.config.v0+json"})

#: Bytes of a config that are read; a longer one says nothing.
MAX_CONFIG_BYTES = 4 * 1024 * 1024
#: Bytes of JSON that are kept of it. Of more, only the short members.
MAX_KEPT_BYTES = 64 * 1024
MAX_TEXT = 1024  # characters
MAX_HISTORY = 1000  # steps
MAX_ANNOTATIONS = 64  # of a child

_TYPE_IN_NAME = re.compile(r"application/vnd\.[^.]+\.(.+)\.config\.[^.]+\+json", re.ASCII)
_TEXTS = ("architecture", "os", "author", "created")


def kind_of(config_type: str | None) -> str:
    """``IMAGE`` (an index, too: it has no config), ``CHART``, ``WASM``, the name in another config's type, else
    ``UNKNOWN``."""
    if not config_type or config_type in {OCI_CONFIG, DOCKER_CONFIG}:
        return "IMAGE"
    if config_type == HELM_CONFIG:
        return "CHART"
    if config_type in WASM_CONFIGS:
        return "WASM"
    found = _TYPE_IN_NAME.fullmatch(config_type)
    return found[1].upper()[:64] if found else "UNKNOWN"


def has_attributes(config_type: str) -> bool:
    """Whether ``extra_attrs`` finds something in configs of that type."""
    return config_type in {OCI_CONFIG, DOCKER_CONFIG, HELM_CONFIG}


def extra_attrs(config_type: str, body: bytes) -> dict[str, Any]:
    """Of an image: ``architecture``, ``os``, ``author``, ``created`` (strings) and ``config`` (an object); of a chart:
    its metadata. Empty for other types, and for what is no JSON object. At most ``MAX_KEPT_BYTES`` as JSON."""
    document = _object(body) if has_attributes(config_type) else {}
    if config_type == HELM_CONFIG:
        return _bounded(document)
    if not document:
        return {}
    attributes: dict[str, Any] = {name: _text(document.get(name)) for name in _TEXTS}
    config = document.get("config")
    attributes["config"] = _bounded(config) if isinstance(config, dict) else {}
    return attributes


def history(config_type: str, body: bytes) -> list[dict[str, Any]]:
    """How an image was built, step by step: ``created``, ``created_by``, ``author``, ``comment``, ``empty_layer``."""
    if config_type not in {OCI_CONFIG, DOCKER_CONFIG}:
        return []
    steps = _object(body).get("history")
    if not isinstance(steps, list):
        return []
    names = ("created", "created_by", "author", "comment")
    return [
        {**{name: _text(step.get(name)) for name in names}, "empty_layer": step.get("empty_layer") is True}
        for step in steps[:MAX_HISTORY]
        if isinstance(step, dict)
    ]


def children(manifest: Manifest, limit: int) -> list[dict[str, Any]]:
    """Up to ``limit`` of what an index names: ``digest``, ``platform`` (an object, maybe empty), ``annotations``."""
    return [
        {
            "digest": str(child.digest),
            "platform": _platform(child),
            "annotations": _strings(child.annotations),
            "urls": [url[:MAX_TEXT] for url in child.urls[:16]],
        }
        for child in manifest.children[:limit]
    ]


def _platform(child: Descriptor) -> dict[str, Any]:
    given = child.platform or {}
    names = ("architecture", "os", "os.version", "variant")
    shown: dict[str, Any] = {name: _text(given[name]) for name in names if given.get(name)}
    features = given.get("os.features")
    if isinstance(features, list) and features:
        shown["os.features"] = [_text(one) for one in features[:MAX_ANNOTATIONS]]
    return shown


def _strings(given: Mapping[str, str]) -> dict[str, str]:
    return {key[:MAX_TEXT]: _text(value) for key, value in list(given.items())[:MAX_ANNOTATIONS]}


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_CONFIG_BYTES:
        return {}
    try:
        document = strict_json.loads(body)
    except strict_json.InvalidJson:
        return {}
    return document if isinstance(document, dict) else {}


def _bounded(members: Mapping[str, Any]) -> dict[str, Any]:
    """``members``, or of too many bytes the short ones."""
    kept = dict(members)
    if len(json.dumps(kept)) <= MAX_KEPT_BYTES:
        return kept
    left = MAX_KEPT_BYTES - 2
    for key, value in members.items():
        size = len(json.dumps({key: value}))
        if size > MAX_TEXT or size > left:
            del kept[key]
        else:
            left -= size
    return kept


def _text(value: object) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""
