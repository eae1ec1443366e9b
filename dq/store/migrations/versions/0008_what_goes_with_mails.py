"""What goes with mails, once for all channels that are told."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from dq.store.schema import CHARSET, COLLATION

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table. MariaDB and MySQL commit each statement, so what is there already is left."""
    if sa.inspect(op.get_bind()).has_table("dq_attachment"):
        return
    blob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql").with_variant(mysql.LONGBLOB(), "mariadb")
    own = {"engine": "InnoDB", "charset": CHARSET, "collate": COLLATION}
    options: dict[str, Any] = {f"{d}_{name}": value for d in ("mariadb", "mysql") for name, value in own.items()}
    op.create_table(
        "dq_attachment",
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of the content"),
        sa.Column("content", blob, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        **options,
    )
