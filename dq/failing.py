"""Failing rows: asked for only where a check failed, capped, and masked before anybody sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from attrs import evolve, frozen

from dq.across import absent_keys
from dq.checks.distinct import plain
from dq.datasource import Datasource, fetch_all
from dq.model.check import Check
from dq.model.errors import DqError
from dq.model.failing import FailingRows, Masking
from dq.model.measure import Measure
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.sql.statements import Compiler

HIDDEN = "•••"
"""What stands for a value that is not shown."""

_ORGS_ASKED = 10


@frozen
class Listing:
    """The rows that are to be listed for one check.

    Attributes:
        check: the check.
        columns: what is listed of them.
        statement: lists as many as are shown; None: no column may be shown.
        query: lists all of them.
    """

    check: Check
    columns: tuple[str, ...]
    statement: str | None
    query: str | None


def with_failing_rows(
    results: Sequence[Result],
    checks: Collection[Check],
    compiler: Compiler,
    connect: Callable[[str], Datasource],
    masking: Mapping[str, Masking],
) -> tuple[Result, ...]:
    """Return the results; those of failed checks with some of the rows that broke them.

    A listing that breaks changes no verdict; why it broke is told in its place.

    Args:
        results: of one scan.
        checks: of that scan.
        compiler: of that scan.
        connect: opens a datasource by name.
        masking: what is done with the values of a column, by its tag; a tag that is not there: redact.
    """
    by_name = {check.name: check for check in checks}
    failed = [by_name[r.check] for r in results if r.group is None and _is_wanted(r, by_name[r.check])]
    if not failed:
        return tuple(results)
    found: dict[str, FailingRows] = {}
    statements: list[Listing] = []
    for check in failed:
        try:
            wanted = _wanted(check, compiler, connect)
        except DqError as error:
            found[check.name] = FailingRows(problem=str(error))
            continue
        if isinstance(wanted, FailingRows):
            found[check.name] = wanted
        elif wanted is not None and wanted.statement is None:
            found[check.name] = FailingRows(query=wanted.query, problem=_no_key(compiler))
        elif wanted is not None:
            statements.append(wanted)
    if statements:
        source = connect(compiler.table.datasource)
        answers = fetch_all(source, [wanted.statement or "" for wanted in statements])
        for wanted, answer in zip(statements, answers, strict=True):
            found[wanted.check.name] = (
                FailingRows(query=wanted.query, problem=f"they could not be listed: {answer}")
                if isinstance(answer, DqError)
                else FailingRows(wanted.columns, tuple(_row(row) for row in answer), wanted.query)
            )
    hidden = _masks(compiler.table.tags, masking)
    masked = {name: _masked(rows, hidden) for name, rows in found.items()}
    return tuple(_attached(result, by_name[result.check], masked.get(result.check)) for result in results)


def _is_wanted(summary: Result, check: Check) -> bool:
    if check.kind.failing() is None:
        return False
    return summary.outcome is Outcome.FAIL or (check.shown.always and bool(summary.violations))


def _wanted(check: Check, compiler: Compiler, connect: Callable[[str], Datasource]) -> Listing | FailingRows | None:
    wanted = check.kind.failing()
    if wanted is None or check.shown.most == 0:
        return None
    if isinstance(wanted, Measure) and compiler.across(wanted):
        return _across(evolve(wanted, where=check.where), check, compiler, connect)
    return listing(check, compiler)


def listing(check: Check, compiler: Compiler) -> Listing | None:
    """Return what lists the rows that break a check; None where no statement can, or none are to be shown.

    Raises:
        GuardError: when the user's SQL is refused.
    """
    wanted = check.kind.failing()
    if wanted is None or check.shown.most == 0 or (isinstance(wanted, Measure) and compiler.across(wanted)):
        return None
    columns = tuple(dict.fromkeys((*compiler.columns, *compiler.table.key, *check.shown.columns)))
    limit = check.shown.most * (_ORGS_ASKED if compiler.columns else 1)
    unknown = check.nulls == "fail"
    listed = columns if len(columns) > len(compiler.columns) else ()
    query = compiler.failing(wanted, listed, check.where, None, unknown=unknown)
    statement = compiler.failing(wanted, listed, check.where, limit, unknown=unknown) if listed else None
    return Listing(check, columns, statement, query)


def _across(measure: Measure, check: Check, compiler: Compiler, connect: Callable[[str], Datasource]) -> FailingRows:
    """Return the keys that are violations, where the other table lies in another database."""
    here = connect(compiler.table.datasource)
    there = connect(measure.of.other.datasource)  # type: ignore[union-attr]  # across() has looked
    columns, keys = absent_keys(measure, compiler, here, there, check.shown.most)
    return FailingRows(columns, tuple(_row(key) for key in keys))


def _no_key(compiler: Compiler) -> str:
    return f"Table({compiler.table.name!r}) names no key=, and ShowRows no column that may be shown"


def _row(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(plain(value) for value in values)


def _masks(tags: Mapping[str, str], masking: Mapping[str, Masking]) -> Mapping[str, Masking]:
    return {column: masking.get(tag, "redact") for column, tag in tags.items()}


def _masked(found: FailingRows, hidden: Mapping[str, Masking]) -> FailingRows:
    how = [hidden.get(column, "keep") for column in found.columns]
    return evolve(found, rows=tuple(tuple(map(_mask, row, how)) for row in found.rows))


def _mask(value: Any, how: Masking) -> Any:
    if how == "keep" or value is None:
        return value
    return HIDDEN if how == "redact" else sha256(str(value).encode()).hexdigest()[:12]


def _attached(result: Result, check: Check, found: FailingRows | None) -> Result:
    """Return the result with its rows: the first of all for the summary, its own for an org."""
    if found is None or (result.outcome is Outcome.PASS and not check.shown.always):
        return result
    rows = found.rows
    if result.group is not None:
        rows = tuple(_of_org(found, result.group.values))
    return evolve(result, failing=evolve(found, rows=rows[: check.shown.most]))


def _of_org(found: FailingRows, org: Sequence[str | None]) -> Iterator[tuple[Any, ...]]:
    for row in found.rows:
        if all(_same(value, mine) for value, mine in zip(row, org, strict=False)):
            yield row


def _same(value: Any, text: str | None) -> bool:
    return value is text if value is None or text is None else str(value) == text
