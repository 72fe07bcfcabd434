"""Alembic's entry: migrations always run on the connection that ``db.migrate`` or a test hands over."""

from alembic import context

from naru.db.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
