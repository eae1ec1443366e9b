"""Quarantine: the rows that break a check, copied within their database into a table of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dq.datasource import Datasource
from dq.model.check import Check
from dq.model.errors import DqError, GuardError
from dq.model.measure import Measure
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.sql.names import is_file, table_parts
from dq.sql.statements import Compiler


def quarantine(
    suite: str, check: Check, results: Sequence[Result], compiler: Compiler, source: Datasource, now: datetime
) -> None:
    """Replace what the table holds of this suite, check and partition by the rows that break the check now.

    The table is made where it is missing: the columns of the checked one after ``dq_suite``, ``dq_check``, ``dq_from``,
    ``dq_to`` and ``dq_at``. The rows never pass the client, and all is done in one transaction. Where nothing is known
    of the rows, what is there stays.

    Args:
        suite: its name.
        check: one with ``quarantine=``.
        results: of the check, its summary first; nothing is copied unless it, or one of its orgs, failed.
        compiler: of the checked table.
        source: the datasource of both tables.
        now: the time of the judgement.

    Raises:
        DqError: when the datasource is not marked ``write = true``, or it could not be done.
    """
    table, wanted = check.quarantine, check.kind.failing()
    assert table is not None  # noqa: S101  # by the caller
    assert wanted is not None  # noqa: S101  # the check refuses other kinds
    failed = any(result.outcome is Outcome.FAIL for result in results)
    if not failed and results[0].outcome not in (Outcome.PASS, Outcome.NO_DATA):
        return
    if is_file(table):
        raise GuardError("it is a file, not a table")
    there = _is_there(source, table)
    statements = [compiler.forget(table, suite, check.name)] if there else []
    if failed:
        if isinstance(wanted, Measure) and compiler.across(wanted):
            raise GuardError("the key is looked for in another database, so no single statement can copy the rows")
        columns = [column.name for column in source.columns(table_parts(compiler.table.name))]
        rows = compiler.failing(wanted, columns, check.where, None, unknown=check.nulls == "fail")
        statements += [] if there else [compiler.new_quarantine(table, columns)]
        statements.append(compiler.copy(table, suite, check.name, rows, columns, now))
    if statements:
        source.write(*statements)


def _is_there(source: Datasource, table: str) -> bool:
    try:
        return bool(source.columns(table_parts(table)))
    except DqError:
        return False
