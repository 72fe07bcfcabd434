"""The catalogue: which artifacts lists show, and how many; blobs that wait for a manifest under a quota of bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "pending_blobs",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("blob_id", ID, nullable=False),
        sa.Column("registry_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id", "blob_id"],
            ["blob_links.image_id", "blob_links.blob_id"],
            name=op.f("fk_pending_blobs_image_id_blob_id_blob_links"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("image_id", "blob_id", name=op.f("pk_pending_blobs")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_pending_blobs_registry_id"), "pending_blobs", ["registry_id"], unique=False)
    op.add_column("artifacts", sa.Column("listed", sa.Boolean(), server_default="1", nullable=False))
    op.add_column("images", sa.Column("listed_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("registries", sa.Column("image_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("artifact_details", sa.Column("config_type", sa.Text(), server_default="", nullable=False))
    op.add_column("artifact_details", sa.Column("children", sa.Text(), nullable=True))
    op.drop_index("ix_tags_artifact_id", "tags")
    op.create_index("ix_tags_artifact_id_name", "tags", ["artifact_id", "name"], unique=False)
    op.create_index("ix_tag_history_image_id", "tag_history", ["image_id", "id"], unique=False)

    # What the new columns say of the rows that are there.
    op.execute("DELETE FROM artifact_details")  # read again at the next look, with the new columns
    op.execute("""
        UPDATE artifacts SET listed =
            (accessory_of IS NULL OR accessory_of = digest OR NOT EXISTS (SELECT 1 FROM artifacts s
                WHERE s.image_id = artifacts.image_id AND s.digest = artifacts.accessory_of))
            AND (EXISTS (SELECT 1 FROM tags t WHERE t.artifact_id = artifacts.id)
                OR NOT EXISTS (SELECT 1 FROM artifact_children c
                    WHERE c.image_id = artifacts.image_id AND c.digest = artifacts.digest))
    """)
    op.execute("""
        UPDATE images SET listed_count =
            (SELECT count(*) FROM artifacts a WHERE a.image_id = images.id AND a.listed)
    """)
    op.execute("""
        UPDATE registries SET image_count =
            (SELECT count(*) FROM images i WHERE i.registry_id = registries.id AND i.artifact_count > 0)
    """)
    op.create_index(
        "ix_artifacts_listed",
        "artifacts",
        ["image_id", "pushed_at", "id"],
        unique=False,
        sqlite_where=sa.text("listed"),
        postgresql_where=sa.text("listed"),
    )
    op.create_index(
        "ix_images_shown",
        "images",
        ["registry_id", "name"],
        unique=False,
        sqlite_where=sa.text("artifact_count > 0"),
        postgresql_where=sa.text("artifact_count > 0"),
    )
