"""Protection rules: tags that nobody may move or delete."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "protection_rules",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("registry_id", ID, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("scope_include", sa.Boolean(), nullable=False),
        sa.Column("scope_pattern", sa.Text(), nullable=False),
        sa.Column("tag_include", sa.Boolean(), nullable=False),
        sa.Column("tag_pattern", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["registries.id"],
            name=op.f("fk_protection_rules_registry_id_registries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protection_rules")),
        sa.UniqueConstraint(
            "registry_id",
            "scope_include",
            "scope_pattern",
            "tag_include",
            "tag_pattern",
            name="uq_protection_rules_registry_id_rule",
        ),
        sqlite_autoincrement=True,
    )
