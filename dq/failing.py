"""Failing rows: asked for only where a check failed, capped, and masked before anybody sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from dq.across import absent_keys
from dq.checks.distinct import plain
from dq.datasource import Datasource, fetch_all
from dq.masking import Masks, masked
from dq.model.check import Check
from dq.model.errors import DqError
from dq.model.failing import MOST_ORGS, FailingRows
from dq.model.group import By, Group
from dq.model.measure import Measure
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.sql.statements import Compiler

Org = tuple[Any, ...]
"""The values of the group columns, as the database has them."""


@frozen
class Listing:
    """The rows that are to be listed for one check.

    Attributes:
        check: the check.
        columns: what is listed of them.
        statement: lists as many as are shown; None: no column may be shown, or no row.
        query: lists all of them.
        of_org: lists all of one org.
    """

    check: Check
    columns: tuple[str, ...]
    statement: str | None
    query: str
    of_org: Callable[[Org], str]


@frozen
class _Found:
    """What was found for one check, not masked yet: the rows, or why they could not be listed."""

    listing: Listing | None = None
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[Any]] = ()
    problem: str | None = None


@frozen
class Listings:
    """Lists the rows that broke the checks of one scan.

    Attributes:
        checks: of the scan.
        compiler: of the scan.
        connect: opens a datasource by name.
        masks: of the table.
        orgs: the values of the group columns of an org, where they are no texts.
    """

    checks: Collection[Check]
    compiler: Compiler
    connect: Callable[[str], Datasource]
    masks: Masks
    orgs: Mapping[Group, Org] = field(factory=dict)

    def attached(self, results: Sequence[Result]) -> tuple[Result, ...]:
        """Return the results; those that failed, and the worst orgs of a check, with some of the rows that broke them.

        A listing that breaks changes no verdict; why it broke is told in its place.

        Args:
            results: of the scan, the summary of a check before its orgs, and the worst of them first.
        """
        by_name = {check.name: check for check in self.checks}
        broken: dict[str, list[Group]] = {}
        for result in results:
            if _is_wanted(result, by_name[result.check]):
                groups = broken.setdefault(result.check, [])
                if result.group is not None and len(groups) < MOST_ORGS:
                    groups.append(result.group)
        if not broken:
            return tuple(results)
        found = self._found([(by_name[name], groups) for name, groups in broken.items()])
        return tuple(
            self._with_rows(result, by_name[result.check], found[result.check], broken[result.check])
            if result.check in found
            else result
            for result in results
        )

    def _found(self, broken: Iterable[tuple[Check, Sequence[Group]]]) -> dict[str, _Found]:
        found: dict[str, _Found] = {}
        wanted: list[Listing] = []
        for check, groups in broken:
            try:
                asked = self._across(check, groups) or listing(check, self.compiler, [*map(self._values, groups)])
            except DqError as error:
                found[check.name] = _Found(problem=str(error))
                continue
            if isinstance(asked, _Found):
                found[check.name] = asked
            elif asked is not None and asked.statement is not None:
                wanted.append(asked)
            elif asked is not None:
                found[check.name] = _Found(asked, problem=self._no_key() if check.shown.most else None)
        if wanted:
            source = self.connect(self.compiler.table.datasource)
            answers = fetch_all(source, [one.statement or "" for one in wanted])
            for one, answer in zip(wanted, answers, strict=True):
                found[one.check.name] = (
                    _Found(one, problem=f"they could not be listed: {answer}")
                    if isinstance(answer, DqError)
                    else _Found(one, one.columns, answer)
                )
        return found

    def _across(self, check: Check, groups: Sequence[Group]) -> _Found | None:
        """Return the keys that are violations where the other table lies in another database; None: it does not."""
        wanted = check.kind.failing()
        if not isinstance(wanted, Measure) or not self.compiler.across(wanted):
            return None
        if check.shown.most == 0:
            return _Found()
        here = self.connect(self.compiler.table.datasource)
        there = self.connect(wanted.of.other.datasource)  # type: ignore[union-attr]  # across() has looked
        keys = absent_keys(evolve(wanted, where=check.where), self.compiler, here, there)
        width = len(self.compiler.columns)
        most = check.shown.most * (MOST_ORGS if width else 1)
        columns = (*self.compiler.columns, *wanted.of.columns)  # type: ignore[union-attr]  # as above
        kept: dict[Group, int] = {}
        rows: list[Sequence[Any]] = []
        for row in keys:
            group = self._group(row)
            if kept.get(group, 0) < check.shown.most and (not groups or group in groups):
                kept[group] = kept.get(group, 0) + 1
                rows.append(row)
            if len(rows) == most:
                break
        return _Found(columns=columns, rows=rows)

    def _values(self, group: Group) -> Org:
        return self.orgs.get(group, group.values)

    def _group(self, row: Sequence[Any]) -> Group:
        columns = self.compiler.columns
        return By(columns).group(row[: len(columns)]) if columns else Group((), ())

    def _no_key(self) -> str:
        return f"Table({self.compiler.table.name!r}) names no key=, and ShowRows no column that may be shown"

    def _with_rows(self, result: Result, check: Check, found: _Found, groups: Sequence[Group]) -> Result:
        """Return the result with its rows: of the worst orgs for the summary, its own for one of these orgs."""
        if result.group is not None and result.group not in groups:
            return result
        rows = found.rows
        query = found.listing.query if found.listing else None
        if result.group is not None:
            rows = [row for row in rows if self._group(row) == result.group]
            query = found.listing.of_org(self._values(result.group)) if found.listing else None
        elif groups:
            place = {group: number for number, group in enumerate(groups)}
            rows = sorted(rows, key=lambda row: place.get(self._group(row), len(place)))
        how = [self.masks.how(column) for column in found.columns]
        shown = tuple(tuple(map(masked, map(plain, row), how)) for row in rows[: check.shown.most])
        counted = found.listing is not None and result.violations is not None and check.sample is None
        more = max((result.violations or 0) - len(shown), 0) if counted else None
        return evolve(result, failing=FailingRows(found.columns, shown, query, found.problem, more))


def _is_wanted(result: Result, check: Check) -> bool:
    if check.kind.failing() is None:
        return False
    return result.outcome is Outcome.FAIL or (check.shown.always and bool(result.violations))


def listing(check: Check, compiler: Compiler, orgs: Sequence[Org] = ()) -> Listing | None:
    """Return what lists the rows that break a check; None where no statement can.

    Args:
        check: the check.
        compiler: of its scan.
        orgs: those that are looked at; none: all.

    Raises:
        GuardError: when the user's SQL is refused.
    """
    wanted = check.kind.failing()
    if wanted is None or (isinstance(wanted, Measure) and compiler.across(wanted)):
        return None
    columns = tuple(dict.fromkeys((*compiler.columns, *compiler.table.key, *check.shown.columns)))
    listed = columns if len(columns) > len(compiler.columns) else ()

    def written(limit: int | None, orgs: Sequence[Org] = ()) -> str:
        return compiler.failing(wanted, listed, check.where, limit, unknown=check.nulls == "fail", orgs=orgs)

    statement = written(check.shown.most, orgs) if listed and check.shown.most else None
    return Listing(check, columns, statement, written(None), lambda org: written(None, [org]))
