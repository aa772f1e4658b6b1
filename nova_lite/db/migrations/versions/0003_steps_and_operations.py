"""What daemons did, step by step, and what was wanted of things: the tables `steps` and `operations`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from lite_common.db import DateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SUBJECTS = ("server_id", "volume_id", "attachment_id", "snapshot_id")


def upgrade() -> None:
    """Make the tables."""
    _steps()
    _operations()


def _id() -> sa.Column:
    return sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True, nullable=False
    )


def _steps() -> None:
    op.create_table(
        "steps",
        _id(),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("process", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("parent", sa.BigInteger),
        sa.Column("request_id", sa.String(64)),
        sa.Column("step", sa.String(64), nullable=False),
        *(sa.Column(name, sa.String(36)) for name in SUBJECTS),
        sa.Column("project_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("started_at", DateTime, nullable=False),
        sa.Column("finished_at", DateTime),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("error_type", sa.String(255)),
        sa.UniqueConstraint("host", "service", "process", "number", name="uniq_steps0host0service0process0number"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    for columns in (["request_id"], *([name] for name in SUBJECTS), ["started_at"]):
        op.create_index(f"steps_{columns[0]}_idx", "steps", columns)
    op.create_index("steps_outcome_idx", "steps", ["outcome", "host", "service"])


def _operations() -> None:
    op.create_table(
        "operations",
        _id(),
        sa.Column("subject", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("wanted", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        *(sa.Column(name, sa.String(36)) for name in SUBJECTS),
        sa.Column("project_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("process", sa.String(64), nullable=False),
        sa.Column("step_begun", sa.String(64)),
        sa.Column("step_finished", sa.String(64)),
        sa.Column("started_at", DateTime, nullable=False),
        sa.Column("updated_at", DateTime, nullable=False),
        sa.Column("finished_at", DateTime),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("last_error", sa.Text),
        sa.UniqueConstraint("request_id", "kind", "subject", name="uniq_operations0request_id0kind0subject"),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    for columns in (*([name] for name in SUBJECTS), ["subject"], ["started_at"]):
        op.create_index(f"operations_{columns[0]}_idx", "operations", columns)
    op.create_index("operations_outcome_idx", "operations", ["outcome", "host", "service"])
