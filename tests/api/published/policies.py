"""The operations of a registry's policies: protection, cleanup, webhooks; and the common list of CVEs."""

from __future__ import annotations

from collections.abc import Sequence

from tests.api.published.run import Call, Do, Entry

_PAGE = {"page": 1, "page_size": 100}
_ID = {"registryId": "{registry_id}"}
_R = {"registryNameOrId": "{registry}"}
_RULES = "/registries/{registryId}/immutabletagrules"
_CLEANUP = "/registries/{registryId}/retentions"
_RUNS = f"{_CLEANUP}/executions"
_HOOKS = "/registries/{registryNameOrId}/webhook/policies"

_SCOPE = {"include": True, "pattern": "**"}
_PROTECTED = {"scope": {"include": True, "pattern": "team/**"}, "tag": {"include": False, "pattern": "v*"}}
_KINDS = {
    "always": -1,
    "latest_pulled_n_images": 3,
    "latest_pushed_n_images": 3,
    "n_days_since_last_pull": 7,
    "n_days_since_last_push": 7,
}
_HOOK = {
    "name": "to chat",
    "enabled": False,
    "event_types": ["PUSH_ARTIFACT", "PULL_ARTIFACT", "DELETE_ARTIFACT"],
    "targets": [
        {
            "type": "http",
            "address": "https://hooks.example.com/registry",
            "auth_header": "Bearer of the client's",
            "skip_cert_verify": False,
        }
    ],
}


def _rule(kind: str, **more: object) -> dict[str, object]:
    tag = {"include": True, "pattern": f"{kind[:3]}*", "untagged": True}
    return {"scope": _SCOPE, "tag": tag, "parameters": {kind: _KINDS[kind]}, **more}


POLICIES: Sequence[Entry | Do] = (
    Entry(
        f"POST {_RULES}",
        (
            Call("a rule", path=_ID, body=_PROTECTED),
            Call("the same again", path=_ID, body=_PROTECTED, refused=True),
        ),
    ),
    Entry(
        f"GET {_RULES}",
        (
            Call(
                "all",
                path=_ID,
                query=_PAGE,
                expect={"immutable_tag_rules.tag.include": False, "immutable_tag_rules.disabled": False},
                keep={"rule_id": "immutable_tag_rules.id"},
            ),
        ),
    ),
    Entry(
        f"PUT {_RULES}/{{rule_id}}",
        (Call("off", path=_ID | {"rule_id": "{rule_id}"}, body=_PROTECTED | {"disabled": True}),),
    ),
    Entry(
        f"DELETE {_RULES}/{{rule_id}}",
        (
            Call("the rule", path=_ID | {"rule_id": "{rule_id}"}),
            Call("once more", path=_ID | {"rule_id": "{rule_id}"}, refused=True),
        ),
    ),
    Entry(
        f"POST {_CLEANUP}",
        (
            *(Call(kind, path=_ID, body=_rule(kind, disabled=False)) for kind in _KINDS),
            Call("the same again", path=_ID, body=_rule("always"), refused=True),
            Call("two kinds at once", path=_ID, body=_rule("always") | {"parameters": _KINDS}, refused=True),
        ),
    ),
    Entry(
        f"GET {_CLEANUP}",
        (Call("all", path=_ID, query=_PAGE, keep={"retention_id": "retention_rules.id"}),),
    ),
    Entry(
        f"PUT {_CLEANUP}/{{rule_id}}",
        (
            *(
                Call(kind, path=_ID | {"rule_id": "{retention_id}"}, body=_rule(kind, disabled=True))
                for kind in ("n_days_since_last_push",)
            ),
            *(
                Call(
                    f"becomes {kind}",
                    path=_ID | {"rule_id": "{retention_id}"},
                    body=_rule(kind, disabled=True) | {"scope": {"include": True, "pattern": "none"}},
                )
                for kind in _KINDS
            ),
        ),
    ),
    Entry(
        f"POST {_CLEANUP}/schedule",
        (
            Call("weekly", path=_ID, body={"settings": {"cron": "0 0 * * 0"}}),
            Call("no cron", path=_ID, body={"settings": {"cron": "weekly"}}, refused=True),
        ),
    ),
    Entry(
        f"GET {_CLEANUP}/schedule",
        (Call("it", path=_ID, expect={"trigger.settings.cron": "0 0 * * 0"}),),
    ),
    Entry(f"POST {_RUNS}", (Call("a test run", path=_ID, body={"dry_run": True}),)),
    Do(lambda run: run.wait("/registries/{registry_id}/retentions/executions", "executions.status", "Success")),
    Entry(
        f"GET {_RUNS}",
        (
            Call(
                "all",
                path=_ID,
                query=_PAGE,
                expect={"executions.dry_run": True, "executions.trigger": "MANUAL", "executions.status": "Success"},
                keep={"execution": "executions.id"},
            ),
        ),
    ),
    Entry(
        f"GET {_RUNS}/{{executionId}}/tasks",
        (
            Call(
                "all",
                path=_ID | {"executionId": "{execution}"},
                query=_PAGE,
                expect={"tasks.repository": "team/app"},
                keep={"task": "tasks.id"},
            ),
        ),
    ),
    Entry(
        f"GET {_RUNS}/{{executionId}}/tasks/{{taskId}}",
        (Call("its log", path=_ID | {"executionId": "{execution}", "taskId": "{task}"}),),
    ),
    Entry(
        f"DELETE {_CLEANUP}",
        (
            Call("a rule", path=_ID, query={"id": "{retention_id}"}),
            Call("once more", path=_ID, query={"id": "{retention_id}"}, refused=True),
            Call("no rule", path=_ID, query={"id": "x"}, refused=True),
        ),
    ),
    Entry(f"POST {_HOOKS}", (Call("a webhook", path=_R, body=_HOOK),)),
    Entry(
        f"GET {_HOOKS}",
        (Call("all", path=_R, query=_PAGE, expect={"policies.name": "to chat"}, keep={"hook": "policies.id"}),),
    ),
    Entry(
        f"PUT {_HOOKS}/{{policyId}}",
        (Call("another name", path=_R | {"policyId": "{hook}"}, body=_HOOK | {"name": "renamed"}),),
    ),
    Entry(
        f"GET {_HOOKS}/{{policyId}}",
        (Call("it", path=_R | {"policyId": "{hook}"}, expect={"policy.name": "renamed"}),),
    ),
    Entry(
        f"DELETE {_HOOKS}/{{policyId}}",
        (
            Call("the webhook", path=_R | {"policyId": "{hook}"}),
            Call("once more", path=_R | {"policyId": "{hook}"}, refused=True),
        ),
    ),
    Entry(
        "PUT /CVEAllowlist",
        (
            Call("two", body={"items": [{"cve_id": "CVE-2024-1"}, {"cve_id": "CVE-2024-2"}]}),
            Call("no CVE", body={"items": [{"cve_id": "no CVE"}]}, refused=True),
        ),
    ),
    Entry("GET /CVEAllowlist", (Call("them", expect={"cve_allowlist.items.cve_id": "CVE-2024-2"}),)),
)
