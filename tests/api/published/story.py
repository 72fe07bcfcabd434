"""The operations, one entry each, in an order in which each finds what it needs: the catalogue.

A later operation is one more entry, placed where what it needs is there; what must be refused of it follows from the
guide's table.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.api.published.policies import POLICIES
from tests.api.published.run import Call, Do, Entry, Run
from tests.api.published.wire import digest_of, pull, push

_R = {"registryNameOrId": "{registry}"}
_I = {"registryName": "{registry}", "imageName": "team%2Fapp"}
_A = {**_I, "reference": "{digest}"}
_PAGE = {"page": 1, "page_size": 100}
_METADATA = {
    "auto_scan": "true",
    "severity": "high",
    "prevent_vul": "false",
    "reuse_sys_cve_allowlist": "true",
    "enable_content_trust_cosign": "false",
}
_IMAGES = "/registries/{registryName}/images"
_ARTIFACTS = _IMAGES + "/{imageName}/artifacts"
_TAGS = _ARTIFACTS + "/{reference}/tags"


def _push(run: Run) -> None:
    """Two images: one with an accessory, and one whose name of two parts is told apart from that of one."""
    if run.api.key is None:
        raise RuntimeError("a push needs a key")
    url, key, registry = str(run.known["registry_url"]), run.api.key, str(run.known["registry"])
    body = push(url, key, f"{registry}/team/app", "1.0", "first")
    run.known["digest"] = digest_of(body)
    run.known["other_digest"] = digest_of(push(url, key, f"{registry}/team/app", "2.0", "second"))
    run.known["accessory_digest"] = digest_of(push(url, key, f"{registry}/team/app", "sbom", "sbom", subject=body))
    push(url, key, f"{registry}/app", "1.0", "third")
    if pull(url, key, f"{registry}/team/app", "1.0") != 200:
        raise RuntimeError("what was pushed cannot be pulled")


_MADE: Sequence[Entry | Do] = (
    Entry(
        "POST /registries",
        (
            Call("whole", body={"project_name": "{registry}", "metadata": _METADATA, "registry_id": 0}),
            Call("a name of digits", body={"project_name": "{number}"}),
            Call("the same name again", body={"project_name": "{registry}"}, refused=True),
            Call("a name that cannot be", body={"project_name": "No Such"}, refused=True),
            Call(
                "a word that is no switch", body={"project_name": "x1", "metadata": {"auto_scan": "yes"}}, refused=True
            ),
            Call("an unknown severity", body={"project_name": "x2", "metadata": {"severity": "huge"}}, refused=True),
        ),
    ),
    Do(_push),
    Entry(
        "PUT /registries/{registryNameOrId}",
        (
            Call("metadata", path=_R, body={"metadata": _METADATA | {"prevent_vul": "true"}}),
            Call("list of CVEs", path=_R, body={"cve_allowlist": {"items": [{"cve_id": "CVE-2024-12345"}]}}),
            Call(
                "a name of digits",
                path={"registryNameOrId": "{number}"},
                headers={"X-Is-Resource-Name": "true"},
                body={"metadata": {"auto_scan": "false"}},
            ),
            Call("no CVE", path=_R, body={"cve_allowlist": {"items": [{"cve_id": "no CVE"}]}}, refused=True),
        ),
    ),
    Entry(
        "GET /registries",
        (
            Call("all", query=_PAGE, expect={"registries.name": "{registry}", "registries.repo_count": 2}),
            Call("a page of one", query={"page": 2, "page_size": 1}),
            Call("past the end", query={"page": 1000, "page_size": 100}, expect={"registries": []}),
            Call("without parameters"),
        ),
    ),
    Entry(
        "GET /registries/{registryNameOrId}",
        (
            Call(
                "by name",
                path=_R,
                expect={
                    "registry.name": "{registry}",
                    "registry.metadata.prevent_vul": "true",
                    "registry.metadata.severity": "high",
                    "registry.cve_allowlist.items.cve_id": "CVE-2024-12345",
                },
                keep={"registry_id": "registry.project_id"},
            ),
            Call("by id", path={"registryNameOrId": "{registry_id}"}, expect={"registry.name": "{registry}"}),
            Call(
                "a name of digits",
                path={"registryNameOrId": "{number}"},
                headers={"X-Is-Resource-Name": "true"},
                expect={"registry.name": "{number}"},
            ),
            Call("a number is an id", path={"registryNameOrId": "{number}"}, refused=True),
        ),
    ),
    Entry(
        f"GET {_IMAGES}",
        (
            Call(
                "all",
                path={"registryName": "{registry}"},
                query=_PAGE,
                expect={"images.name": "{registry}/team/app", "images.artifact_count": 2},
            ),
            Call("a page of one", path={"registryName": "{registry}"}, query={"page": 2, "page_size": 1}),
            Call("none", path={"registryName": "{number}"}, query=_PAGE, expect={"images": []}),
        ),
    ),
    Entry(
        f"GET {_IMAGES}/{{imageName}}",
        (
            Call("encoded once", path=_I, expect={"image.name": "{registry}/team/app"}),
            Call(
                "encoded twice", path=_I | {"imageName": "team%252Fapp"}, expect={"image.name": "{registry}/team/app"}
            ),
            Call("a name of one part", path=_I | {"imageName": "app"}, expect={"image.name": "{registry}/app"}),
        ),
    ),
    Entry(
        f"GET {_ARTIFACTS}",
        (
            Call("all", path=_I, query=_PAGE, expect={"artifacts.digest": "{digest}"}),
            Call(
                "with everything",
                path=_I,
                query={"with_scan_overview": "true", "with_accessory": "true"},
                expect={"artifacts.accessories.digest": "{accessory_digest}"},
            ),
            Call("with nothing", path=_I, query={"with_scan_overview": "false", "with_accessory": "false"}),
            Call("a page of one", path=_I, query={"page": 2, "page_size": 1}),
        ),
    ),
    Entry(
        f"GET {_ARTIFACTS}/{{reference}}",
        (
            Call("by digest", path=_A, expect={"artifact.digest": "{digest}"}),
            Call("by tag", path=_I | {"reference": "2.0"}, expect={"artifact.digest": "{other_digest}"}),
            Call(
                "with everything",
                path=_A,
                query={"with_scan_overview": "true", "with_accessory": "true"},
                expect={"artifact.accessories.digest": "{accessory_digest}"},
            ),
            Call("a digest that there is not", path=_I | {"reference": "sha256:" + "0" * 64}, refused=True),
        ),
    ),
    Entry(
        f"POST {_TAGS}",
        (
            Call("by digest", path=_A, body={"name": "stable"}),
            Call("by tag", path=_I | {"reference": "1.0"}, body={"name": "latest"}),
            Call("moves a tag", path=_I | {"reference": "{other_digest}"}, body={"name": "latest"}),
            Call("a name that cannot be", path=_A, body={"name": "no such tag"}, refused=True),
        ),
    ),
    Entry(
        f"GET {_TAGS}",
        (
            Call("all", path=_A, query=_PAGE, expect={"tags.name": "stable"}),
            Call("by tag", path=_I | {"reference": "latest"}, expect={"tags.name": "2.0"}),
            Call("a page of one", path=_A, query={"page": 2, "page_size": 1}, expect={"tags.name": "stable"}),
        ),
    ),
)
_GONE: Sequence[Entry | Do] = (
    Entry(
        f"DELETE {_TAGS}/{{tagName}}",
        (
            Call("a tag", path=_A | {"tagName": "stable"}),
            Call("once more", path=_A | {"tagName": "stable"}, refused=True),
            Call("of another artifact", path=_A | {"tagName": "2.0"}, refused=True),
        ),
    ),
    Entry(
        f"DELETE {_ARTIFACTS}/{{reference}}",
        (
            Call("by tag", path=_I | {"reference": "latest"}),
            Call("all tags went along", path=_I | {"reference": "2.0"}, refused=True),
            Call("by digest", path=_A),
            Call("once more", path=_A, refused=True),
        ),
    ),
    Entry(
        f"DELETE {_IMAGES}/{{imageName}}",
        (
            Call("an image", path=_I | {"imageName": "app"}),
            Call("once more", path=_I | {"imageName": "app"}, refused=True),
        ),
    ),
    Entry(
        "DELETE /registries/{registryNameOrId}",
        (
            Call("by name", path=_R),
            Call("once more", path=_R, refused=True),
            Call("a name of digits", path={"registryNameOrId": "{number}"}, headers={"X-Is-Resource-Name": "true"}),
        ),
    ),
)
STORY = (*_MADE, *POLICIES, *_GONE)
