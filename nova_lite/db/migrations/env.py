"""Run by alembic, with the connection that `lite_common.db.upgrade` opened."""

from __future__ import annotations

from alembic import context

from nova_lite.db import models

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=models.metadata,
    # Each statement stands alone, as MariaDB cannot roll back a schema change anyway.
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
