"""What the database itself finds wrong with itself, for ``fsck``: damaged pages and indexes, broken foreign keys."""

from __future__ import annotations

from sqlalchemy import Connection, text

from naru.db.engine import execute, is_postgres


def file_problems(tx: Connection) -> list[str]:
    """What the database itself finds: damaged pages, rows that name missing rows."""
    if is_postgres(tx):
        return _postgres_problems(tx)
    found = [str(row[0]) for row in tx.execute(text("PRAGMA integrity_check(20)")) if row[0] != "ok"]
    found += [f"table {row[0]}: row {row[1]} names a missing row of {row[2]}" for row in _foreign(tx)]
    return found


_INVALID = """
    SELECT 'index ' || c.relname || ' is not valid: REINDEX it' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace
    UNION ALL SELECT 'constraint ' || conname || ' is not validated' FROM pg_constraint
    WHERE NOT convalidated AND connamespace = current_schema()::regnamespace
    UNION ALL SELECT checksum_failures || ' pages had a wrong checksum' FROM pg_stat_database
    WHERE datname = current_database() AND checksum_failures > 0
"""
#: Foreign keys that can be looked at by a query: PostgreSQL keeps them itself, unless somebody told it not to.
_FOREIGN_KEYS = """
    SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
        (SELECT string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ')
            FROM unnest(c.conkey, c.confkey) AS k (own, other)
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own
            JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.other),
        (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ')
            FROM unnest(c.conkey) AS k (own) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own)
    FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = current_schema()::regnamespace ORDER BY c.conname
"""


def _postgres_problems(tx: Connection) -> list[str]:
    found = [str(row[0]) for row in execute(tx, _INVALID)]
    for table, other, same, asked in execute(tx, _FOREIGN_KEYS).fetchall():
        if (table, other) not in _TOLD_ELSEWHERE:
            lost = f"SELECT count(*) FROM {table} c WHERE {asked} AND NOT EXISTS (SELECT 1 FROM {other} p WHERE {same})"
            count = execute(tx, lost).fetchone()[0]
            if count:
                found.append(f"table {table}: {count} rows name missing rows of {other}")
    return found


#: What uses a blob without its link has a finding of its own (``cut_links``); reviews of no link end by themselves.
_TOLD_ELSEWHERE = {("artifact_blobs", "blob_links"), ("link_reviews", "blob_links"), ("tags", "artifacts")}


def _foreign(tx: Connection) -> list[tuple[str, object, str]]:
    found = [(row[0], row[1], row[2]) for row in tx.execute(text("PRAGMA foreign_key_check"))]
    return [row for row in found if (row[0], row[2]) not in _TOLD_ELSEWHERE][:100]
