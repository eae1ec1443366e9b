"""Quarantine: the rows that break a check, copied within their database into a table of the user's."""

from __future__ import annotations

from datetime import datetime

from dq.datasource import Datasource
from dq.model.check import Check
from dq.model.errors import DqError, GuardError
from dq.model.measure import Measure
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.sql.names import table_parts
from dq.sql.statements import Compiler


def quarantine(suite: str, check: Check, result: Result, compiler: Compiler, source: Datasource, now: datetime) -> None:
    """Replace what the table holds of this suite, check and partition by the rows that break the check now.

    The table is made where it is missing: the columns of the checked one after ``dq_suite``, ``dq_check``, ``dq_from``,
    ``dq_to`` and ``dq_at``. The rows never pass the client, and all is done in one transaction.

    Args:
        suite: its name.
        check: one with ``quarantine=``.
        result: the summary of the check; nothing is copied unless it failed.
        compiler: of the checked table.
        source: the datasource of both tables.
        now: the time of the judgement.

    Raises:
        DqError: when the datasource is not marked ``write = true``, or it could not be done.
    """
    assert check.quarantine is not None  # noqa: S101  # by the caller
    wanted = check.kind.failing()
    if isinstance(wanted, Measure) and compiler.across(wanted):
        raise GuardError("no single statement can copy the rows, because their key is looked for in another database")
    columns = [column.name for column in source.columns(table_parts(compiler.table.name))]
    statements = [compiler.forget(check.quarantine, suite, check.name)]
    if not _is_there(source, check.quarantine):
        statements = [compiler.new_quarantine(check.quarantine, columns)]
    if wanted is not None and result.outcome is Outcome.FAIL:
        unknown = check.nulls == "fail"
        rows = compiler.failing(wanted, columns, check.where, None, unknown=unknown)
        statements.append(compiler.copy(check.quarantine, suite, check.name, rows, columns, now))
    source.write(*statements)


def _is_there(source: Datasource, table: str) -> bool:
    try:
        return bool(source.columns(table_parts(table)))
    except DqError:
        return False
