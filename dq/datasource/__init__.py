"""Datasources: where data lies. A dialect's name and a way to fetch rows is all that the rest of dq sees.

    protocol  what a datasource offers, and the little that a plug-in must
    sql       the datasource of dq: sessions that are pooled, bounded in time, cancelled, asked again
    address   the parts of a URL, and which driver it leads to
    columns   the columns of a table
    parallel  several statements side by side
    session   what a new session is told

One file per driver: ``duckdb``, ``sqlite``, ``postgres`` and ``mysql`` speak to theirs directly, because SQLAlchemy
alone takes longer to import than a small table takes to check; ``alchemy`` is for every other database.
"""

from dq.datasource.columns import Column
from dq.datasource.parallel import fetch_all
from dq.datasource.protocol import Datasource, Row, completed
from dq.datasource.sql import SqlDatasource

__all__ = ["Column", "Datasource", "Row", "SqlDatasource", "completed", "fetch_all"]
