"""What all tables share: the metadata with named constraints, and the column types."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: SQLite makes only an ``INTEGER PRIMARY KEY`` the rowid; elsewhere ids are 64 bits wide.
Id = BigInteger().with_variant(Integer(), "sqlite")

#: Microseconds since 1970-01-01 UTC.
Time = BigInteger()

#: Text that sorts byte by byte.
Name = Text().with_variant(Text(collation="C"), "postgresql")


def id_column() -> Column[int]:
    """The surrogate key. Never used again after a delete (AUTOINCREMENT): tokens and caches are bound to ids."""
    return Column("id", Id, primary_key=True, autoincrement=True)
