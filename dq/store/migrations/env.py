"""Alembic's entry: migrate on the connection that the caller hands over."""

from alembic import context

from dq.store.engine import VERSION_TABLE
from dq.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
