"""Webhooks: whom a registry tells, the outbox of what happened, and each delivery with its tries.

An event is written in the transaction of what it tells of. A worker spreads it: a delivery for each target that wants
it. Deliveries of a target go in the order of their ids, one at a time; the target's row is the lane that they pass.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from naru.db.schema.base import Id, Name, Time, id_column, metadata

webhooks = Table(
    "webhooks",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("events", Integer, nullable=False),  # core.webhooks.Events
    Column("scope_include", Boolean, nullable=False),
    Column("scope_pattern", Text, nullable=False),
    Column("tag_include", Boolean, nullable=False),
    Column("tag_pattern", Text, nullable=False),
    Column("host", Text, nullable=False),  # of the registry, as who made the webhook knows it
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    UniqueConstraint("registry_id", "name"),
    sqlite_autoincrement=True,
)

webhook_targets = Table(
    "webhook_targets",
    metadata,
    id_column(),
    Column("webhook_id", Id, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # http | slack
    Column("address", Text, nullable=False),
    Column("payload_format", Text, nullable=False),
    Column("skip_cert_verify", Boolean, nullable=False),
    Column("auth_header", Text),  # sealed
    Column("secret", Text),  # sealed
    # The lane.
    Column("waiting", Integer, nullable=False, server_default="0"),  # deliveries that are Pending
    Column("dropped", Integer, nullable=False, server_default="0"),  # that waited for too long, since it last worked
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("failing_since", Time),
    Column("retry_at", Time),  # no try before
    Column("suspended_at", Time),  # switched off, since it failed for too long
    Column("notice", Text),  # what was wrong the last time
    Column("lease", Id),  # whose turn it is: a number that each claim draws
    Column("lease_until", Time),
    Index(
        "ix_webhook_targets_open",
        "id",
        sqlite_where=text("waiting > 0 AND suspended_at IS NULL"),
        postgresql_where=text("waiting > 0 AND suspended_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

webhook_events = Table(
    "webhook_events",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("type", Integer, nullable=False),  # core.webhooks.Events, one of them
    Column("at", Time, nullable=False),
    Column("actor", Text, nullable=False),
    Column("request_id", Text),
    Column("image", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("tags", Text, nullable=False),  # a JSON array
    Column("spread", Boolean, nullable=False),
    Index("ix_webhook_events_new", "id", sqlite_where=text("NOT spread"), postgresql_where=text("NOT spread")),
    sqlite_autoincrement=True,
)

# Images that went or came back, too large for an event of each artifact in one transaction: whoever spreads events
# makes these, in steps. Later events of the registry (above "behind") wait for that.
webhook_images = Table(
    "webhook_images",
    metadata,
    id_column(),
    Column("registry_id", Id, ForeignKey("registries.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("type", Integer, nullable=False),  # core.webhooks.Events, one of them
    Column("at", Time, nullable=False),
    Column("actor", Text, nullable=False),
    Column("request_id", Text),
    Column("image", Text, nullable=False),
    Column("image_id", Id, nullable=False, index=True),  # its rows stay until all is told, hidden or not
    Column("behind", Id, nullable=False),  # the last event before it
    Column("last", Id, nullable=False),  # the newest artifact that there was
    # The artifact that was told of last, in the order of their pushes.
    Column("done_at", Time, nullable=False),
    Column("done_id", Id, nullable=False),
    sqlite_autoincrement=True,
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    id_column(),
    Column("target_id", Id, ForeignKey("webhook_targets.id", ondelete="CASCADE"), nullable=False),
    Column("webhook_id", Id, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Id, ForeignKey("webhook_events.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("cause", Text, nullable=False),  # EVENT | MANUAL | TEST
    Column("status", Text, nullable=False),  # Pending | Success | Error
    Column("created_at", Time, nullable=False),
    Column("finished_at", Time),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("content_type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the same bytes at each try
    # The last try.
    Column("tried_at", Time),
    Column("http_status", Integer),
    Column("error", Text),
    Column("duration", Id),  # microseconds
    Index("ix_webhook_deliveries_webhook_id", "webhook_id", "id"),
    Index("ix_webhook_deliveries_webhook_id_status", "webhook_id", "status", "id"),
    Index(
        "ix_webhook_deliveries_pending",
        "target_id",
        "id",
        sqlite_where=text("status = 'Pending'"),
        postgresql_where=text("status = 'Pending'"),
    ),
    Index("ix_webhook_deliveries_target_id", "target_id"),
    Index("ix_webhook_deliveries_finished_at", "finished_at"),
    sqlite_autoincrement=True,
)

webhook_tries = Table(
    "webhook_tries",
    metadata,
    Column("delivery_id", Id, ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Time, nullable=False),
    Column("duration", Id, nullable=False),  # microseconds
    Column("http_status", Integer),
    Column("error", Text),
    Column("headers", Text),  # of the answer, cut
    Column("answer", Text),  # its body, cut
    sqlite_with_rowid=False,
)
