"""What PostgreSQL says that it did for a statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Tables that nobody may read from end to end.
LARGE = {
    "access_keys", "account_log", "artifact_blobs", "artifacts", "audit_log", "blob_links", "blob_reviews", "blobs",
    "images", "link_reviews", "manifests", "revoked_tokens", "tags", "tasks", "uploads", "users",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    scans: tuple[str, ...]  # tables that were read from end to end
    read: int  # rows of tables and indexes
    milliseconds: float


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(literal(each) for each in value)}]"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def summed(answer: dict[str, Any]) -> Found:
    scans: list[str] = []
    read = 0
    waiting = [answer["Plan"]]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", ())
        kind = node["Node Type"]
        if kind.endswith("Scan") and kind not in ("Subquery Scan", "CTE Scan", "Values Scan", "Function Scan"):
            each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            read += int(each * node["Actual Loops"])
        if kind == "Seq Scan" and node["Relation Name"] in LARGE and node["Actual Loops"] and not limited(answer, node):
            scans.append(node["Relation Name"])
    return Found(tuple(scans), read, float(answer["Execution Time"]))


def limited(answer: dict[str, Any], scan: dict[str, Any]) -> bool:
    """Whether rows are just taken from the table until there are enough: any will do, none is looked for."""
    waiting = [answer["Plan"]]
    while waiting:
        node = waiting.pop()
        if node["Node Type"] == "Limit" and any(child is scan for child in node.get("Plans", ())):
            return "Filter" not in scan
        # EXISTS (SELECT 1 FROM table): one row is looked at.
        if node is scan and node.get("Parent Relationship") == "InitPlan" and "Filter" not in scan:
            return True
        waiting += node.get("Plans", ())
    return False
