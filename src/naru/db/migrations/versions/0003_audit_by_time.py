"""The audit log in the order of time, and the CVE list that all registries of a project share."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "common_cves",
        sa.Column("project_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cve_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_common_cves_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "cve_id", name=op.f("pk_common_cves")),
        sqlite_with_rowid=False,
    )
    # By id, a page that ends at some day would first walk over everything newer.
    for name, columns in (
        ("ix_audit_log_project_id", ["project_id"]),
        ("ix_audit_log_project_id_action", ["project_id", "action"]),
        ("ix_audit_log_project_id_actor", ["project_id", "actor"]),
    ):
        op.drop_index(name, table_name="audit_log")
        op.create_index(f"{name}_at", "audit_log", [*columns, "at", "id"], unique=False)
