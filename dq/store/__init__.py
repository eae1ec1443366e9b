"""dq's own store: one database or schema of its own, never Airflow's metadata database."""

from dq.store.engine import HEAD, ensure, open_store, upgrade

__all__ = ["HEAD", "ensure", "open_store", "upgrade"]
