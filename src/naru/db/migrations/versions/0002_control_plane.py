"""The control plane: limits, registry metadata, exact usage, accessories, tag history, audit log, API tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "revoked_tokens",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_revoked_tokens")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_revoked_tokens_expires_at"), "revoked_tokens", ["expires_at"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("access_key", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_audit_log_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"], unique=False)
    op.create_index("ix_audit_log_project_id", "audit_log", ["project_id", "id"], unique=False)
    op.create_index("ix_audit_log_project_id_action", "audit_log", ["project_id", "action", "id"], unique=False)
    op.create_index("ix_audit_log_project_id_actor", "audit_log", ["project_id", "actor", "id"], unique=False)
    op.create_table(
        "allowed_cves",
        sa.Column("registry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cve_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"], ["registries.id"], name=op.f("fk_allowed_cves_registry_id_registries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("registry_id", "cve_id", name=op.f("pk_allowed_cves")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "registry_blobs",
        sa.Column("registry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("blob_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("artifacts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blob_id"], ["blobs.id"], name=op.f("fk_registry_blobs_blob_id_blobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["registry_id"],
            ["registries.id"],
            name=op.f("fk_registry_blobs_registry_id_registries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("registry_id", "blob_id", name=op.f("pk_registry_blobs")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_registry_blobs_blob_id"), "registry_blobs", ["blob_id"], unique=False)
    op.create_table(
        "usage_deltas",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("registry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["registry_id"], ["registries.id"], name=op.f("fk_usage_deltas_registry_id_registries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_deltas")),
    )
    op.create_index(op.f("ix_usage_deltas_registry_id"), "usage_deltas", ["registry_id"], unique=False)
    op.create_table(
        "tag_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("image_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tag", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("from_digest", sa.Text(), nullable=True),
        sa.Column("to_digest", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_tag_history_image_id_images"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag_history")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tag_history_image_id_tag", "tag_history", ["image_id", "tag", "id"], unique=False)
    op.create_table(
        "artifact_details",
        sa.Column(
            "artifact_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("extra_attrs", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["artifacts.id"],
            name=op.f("fk_artifact_details_artifact_id_artifacts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("artifact_id", name=op.f("pk_artifact_details")),
    )
    op.add_column("artifacts", sa.Column("accessory_of", sa.Text(), nullable=True))
    op.add_column("artifacts", sa.Column("accessory_type", sa.Text(), nullable=True))
    op.create_index("ix_artifacts_image_id_accessory_of", "artifacts", ["image_id", "accessory_of"], unique=False)
    op.add_column("projects", sa.Column("region", sa.Text(), server_default="kr1", nullable=False))
    op.add_column("projects", sa.Column("limit_registries", sa.Integer(), nullable=True))
    op.add_column("projects", sa.Column("limit_images", sa.Integer(), nullable=True))
    op.add_column("projects", sa.Column("limit_artifacts", sa.Integer(), nullable=True))
    op.add_column("projects", sa.Column("limit_tags", sa.Integer(), nullable=True))
    op.add_column("registries", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.add_column("registries", sa.Column("auto_scan", sa.Boolean(), server_default="0", nullable=False))
    op.add_column("registries", sa.Column("prevent_vul", sa.Boolean(), server_default="0", nullable=False))
    op.add_column("registries", sa.Column("severity", sa.Text(), nullable=True))
    op.add_column("registries", sa.Column("reuse_sys_cve_allowlist", sa.Boolean(), server_default="1", nullable=False))
    op.add_column("registries", sa.Column("content_trust_cosign", sa.Boolean(), server_default="0", nullable=False))
    op.add_column(
        "registries", sa.Column("limit_storage", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True)
    )
    op.add_column(
        "registries",
        sa.Column(
            "used_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False
        ),
    )

    # What the new columns and tables say of the rows that are there.
    op.execute("""
        INSERT INTO registry_blobs (registry_id, blob_id, artifacts)
        SELECT i.registry_id, ab.blob_id, count(*) FROM artifact_blobs ab JOIN images i ON i.id = ab.image_id
        GROUP BY i.registry_id, ab.blob_id
    """)
    op.execute("""
        UPDATE registries SET used_bytes =
            coalesce((SELECT sum(b.size) FROM registry_blobs rb JOIN blobs b ON b.id = rb.blob_id
                WHERE rb.registry_id = registries.id), 0)
            + coalesce((SELECT sum(a.manifest_size) FROM artifacts a JOIN images i ON i.id = a.image_id
                WHERE i.registry_id = registries.id), 0)
    """)
    op.execute(
        "UPDATE artifacts SET accessory_of = subject_digest, accessory_type = 'subject.accessory' "
        "WHERE subject_digest IS NOT NULL"
    )
    # cosign's older form: the tag names the subject.
    for suffix, kind in ((".sig", "signature.cosign"), (".att", "attestation.cosign"), (".sbom", "sbom.cosign")):
        op.execute(
            sa.text("""
            UPDATE artifacts SET accessory_type = :kind, accessory_of =
                (SELECT 'sha256:' || substr(t.name, 8, 64) FROM tags t WHERE t.artifact_id = artifacts.id
                    AND t.name LIKE 'sha256-%' AND t.name = substr(t.name, 1, 71) || :suffix LIMIT 1)
            WHERE accessory_of IS NULL AND id IN (SELECT artifact_id FROM tags
                WHERE name LIKE 'sha256-%' AND name = substr(name, 1, 71) || :suffix)
        """).bindparams(kind=kind, suffix=suffix)
        )
