"""Run by alembic with the connection that lite_common.db.upgrade() put into its attributes."""

from alembic import context

from cinder_lite.db import models

context.configure(
    connection=context.config.attributes["connection"], target_metadata=models.METADATA, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
