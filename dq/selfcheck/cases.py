"""The tables, the checks, and what each must find. Values were worked out by hand, not measured.

The tests run the same cases on every live engine. Texts are not compared where upper and lower case alone differ:
whether they are equal is a matter of the collation of the column.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from attrs import evolve, field, frozen

from dq.checks import (
    AddUp,
    Aggregate,
    Between,
    Change,
    ColumnCount,
    Compare,
    ConsistentCasing,
    Count,
    Decreasing,
    DistinctCount,
    DistinctShare,
    Distribution,
    DuplicateCount,
    Freshness,
    Gaps,
    HasLength,
    Increasing,
    IsNull,
    Like,
    Matches,
    Max,
    Mean,
    Median,
    Min,
    MostCommon,
    NoneOf,
    NoOverlap,
    NotBetween,
    NotIn,
    NotLike,
    NotMatches,
    NotNull,
    OneOf,
    Quantile,
    Query,
    QueryValue,
    Ratio,
    Reference,
    RowCount,
    Rows,
    SameAs,
    Schema,
    Sequential,
    Share,
    StdDev,
    Sum,
    TextLength,
    TogetherOneOf,
    Unique,
    UniqueCount,
    UniqueShare,
    UniqueWithinRow,
    ValidJson,
    Values,
    ZScore,
)
from dq.model.check import Check, Kind, Nulls
from dq.model.group import By
from dq.model.interval import Interval
from dq.model.predicate import Scalar
from dq.model.reading import Past
from dq.model.table import Table
from dq.model.thresholds import at_least
from dq.sql.tables import Type

THINGS: dict[str, Type] = {
    "id": "integer", "org": "integer", "label": "text", "code": "text", "amount": "decimal", "paid": "decimal",
    "ratio": "double", "born": "date", "happened": "time", "ended": "time", "doc": "text", "parent": "integer",
}  # fmt: skip
OTHERS: dict[str, Type] = {"id": "integer"}


def _at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute)  # noqa: DTZ001  # the columns have no zone


THINGS_ROWS: tuple[tuple[Scalar | None, ...], ...] = (
    (1, 1, "Anna", "A-1", 10.5, 10.5, 0.5, date(2026, 11, 18), _at(18, 8), _at(18, 9), '{"a": 1}', 1),
    (2, 1, "anna", "A-2", 20, 15, 0.25, date(2026, 11, 19), _at(19, 8), _at(19, 9), "[1, 2]", 2),
    (3, 1, "Bob", "B-1", 0, 0, 0.125, date(2026, 11, 20), _at(20, 8), _at(20, 10), None, 9),
    (4, 2, "Cleo", "B_2", -5.25, None, 4.0, date(2026, 11, 20), _at(20, 9), _at(20, 9, 30), "{broken", None),
    (5, 2, None, None, None, 1, None, None, None, None, '"text"', 2),
    (6, 2, "Dora", "C'3", 100, 100, 2.0, date(2026, 11, 21), _at(21), _at(20, 23), "7", 3),
    (6, 2, "Dora", "C'3", 100, 101, 2.0, date(2026, 11, 21), _at(21), _at(21, 1), "{}", 3),
)
OTHERS_ROWS: tuple[tuple[Scalar | None, ...], ...] = ((1,), (2,), (3,))


@frozen
class Case:
    """A check and what it must find.

    Attributes:
        check: the check.
        table: what it looks at.
        expected: fields of its result, by name.
        past: what it measured before.
    """

    check: Check
    table: Table
    expected: Mapping[str, Any]
    past: tuple[Past, ...] = ()

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return type(self.check.kind).__name__


@frozen
class _Made:
    things: Table
    cases: list[Case] = field(factory=list)

    def counts(
        self, kind: Kind, violations: int, unknown: int | None = None, *, nulls: Nulls = "fail", **other: Any
    ) -> None:
        """Add a kind that counts violations."""
        expected = {"violations": violations} | ({} if unknown is None else {"unknown": unknown})
        expected |= {name: other.pop(name) for name in ("rows", "orgs", "orgs_bad") if name in other}
        self._add(kind, expected, {"nulls": nulls}, other)

    def measures(self, kind: Kind, observed: Any, **other: Any) -> None:
        """Add a kind that measures a value."""
        self._add(kind, {"observed": observed}, {"info": _bounds(kind)}, other)

    def _add(self, kind: Kind, expected: dict[str, Any], given: dict[str, Any], other: dict[str, Any]) -> None:
        table, past = other.pop("table", self.things), other.pop("past", ())
        name = f"{len(self.cases) + 1}: {kind}" + "".join(f", {what}={value}" for what, value in other.items())
        self.cases.append(Case(Check(name[:250], kind, **given, **other), table, expected, past))


def _bounds(kind: Kind) -> object:
    units = getattr(kind, "units", ("number",))
    return at_least("1s") if units == ("duration",) else at_least(-1_000_000)


def cases(things: Table, others: Table, written: str) -> tuple[Case, ...]:
    """Return the cases.

    Args:
        things, others: the two tables.
        written: the name of the first as the engine reads it, for a query.
    """
    made = _Made(things)
    _of_rows(made)
    _of_text(made)
    _of_order(made)
    _of_values(made)
    _of_numbers(made)
    _of_tables(made, others, written)
    return tuple(made.cases)


def _of_rows(made: _Made) -> None:
    made.counts(Rows("amount > 0"), 3, 1)
    made.counts(Rows("amount > 0"), 2, nulls="pass", rows=7)
    made.counts(Rows("amount > 0"), 2, nulls="skip", rows=6)
    made.counts(Rows("amount > 0"), 1, 0, where="org = 1", rows=3)
    made.counts(Rows("amount > 0"), 3, by=By("org"), orgs=2, orgs_bad=2)
    made.counts(NotNull("amount"), 1)
    made.counts(NotNull("amount"), 1, by=By("org"), orgs=2, orgs_bad=1)
    made.counts(IsNull("parent"), 6)
    made.counts(OneOf("code", ["A-1", "A-2", "B-1", "B_2"]), 3, 1)
    made.counts(OneOf("code", ["C'3"]), 5, 1)
    made.counts(NoneOf("code", ["C'3"]), 3, 1)
    made.counts(Between("amount", 0, 20), 4, 1)
    made.counts(Between("amount", 0, 20, ends="low"), 5, 1)
    made.counts(Between("born", date(2026, 11, 19), date(2026, 11, 20)), 4, 1)
    made.counts(Between("happened", _at(20, 8, 30), None), 4, 1)
    made.counts(NotBetween("amount", 0, 20), 4, 1)
    made.counts(Compare("happened", "<=", "ended"), 2, 1)
    made.counts(TogetherOneOf(["org", "code"], [(1, "A-1"), (1, "A-2"), (1, "B-1")]), 4, 1)
    made.counts(AddUp(["amount", "paid"], 21), 6, 2)
    made.counts(AddUp(["amount"], "paid"), 4, 2)
    made.counts(AddUp(["amount"], "paid", within=1), 3, 2)
    made.counts(Unique("id"), 2, 0)
    made.counts(Unique("id", "org"), 2, 0)
    made.counts(Unique("code"), 2, 1)
    made.counts(UniqueWithinRow("amount", "paid"), 3)


def _of_text(made: _Made) -> None:
    made.counts(HasLength("code", 3), 1, 1)
    made.counts(HasLength("label", 4, None), 2, 1)
    made.counts(Like("code", "A-%"), 5, 1)
    made.counts(Like("code", r"B\_2"), 6, 1)
    made.counts(Like("label", "a%"), 6, 1)
    made.counts(NotLike("code", "C'%"), 3, 1)
    made.counts(Matches("code", "^[A-B]-[0-9]$"), 4, 1)
    made.counts(Matches("label", "^a"), 6, 1)
    made.counts(NotMatches("code", "'"), 3, 1)
    made.counts(ValidJson("doc"), 2, 1)
    made.counts(ConsistentCasing("label"), 3, 1)


def _of_order(made: _Made) -> None:
    made.counts(Increasing("ratio", by="id"), 4, 1)
    made.counts(Increasing("ratio", by="id", strict=True), 5, 1)
    made.counts(Decreasing("ratio", by="id"), 2, 1)
    made.counts(Sequential("id"), 1, 0)
    made.counts(Sequential("born", "1d"), 0, 0, where="id <= 3")
    made.counts(NoOverlap("happened", "ended"), 3, 1)
    made.counts(ZScore("ratio", 1), 2, 1)


def _of_values(made: _Made) -> None:
    made.counts(Values("org", [1, 2]), 0)
    made.counts(Values("code", ["A-1", "A-2", "B-1", "C'3", "X"]), 2)
    made.counts(MostCommon("code", ["C'3"]), 0)
    made.counts(MostCommon("org", [1]), 1)
    made.measures(DistinctCount("code"), 5)
    made.measures(DistinctCount(["org", "code"]), 5)
    made.measures(DistinctShare("code"), 5 / 6)
    made.measures(UniqueCount("code"), 4)
    made.measures(DuplicateCount("code"), 1)
    made.measures(Count(Rows("amount > 0")), 4)
    made.measures(Share(NotNull("amount")), 6 / 7)
    made.measures(UniqueShare("code"), 4 / 6)


def _of_numbers(made: _Made) -> None:
    made.measures(RowCount(), 7)
    made.measures(RowCount(), 4, where="org = 2")
    made.measures(RowCount(), 2, table=evolve(made.things, partition="happened"))
    made.measures(RowCount(), 2, table=evolve(made.things, partition="born"))
    made.measures(Min("amount"), -5.25)
    made.measures(Max("amount"), 100)
    made.measures(Max("amount"), 20, where="org = 1")
    made.measures(Sum("amount"), 225.25)
    made.measures(Mean("ratio"), 8.875 / 6)
    made.measures(Median("ratio"), 1.25)
    made.measures(Quantile("ratio", 0.25), 0.3125)
    made.measures(StdDev("ratio"), 1.4966977539)
    made.measures(StdDev("ratio", of="population"), 1.3662918693)
    made.measures(TextLength("label", "min"), 3)
    made.measures(TextLength("label", "mean"), 23 / 6)
    made.measures(Aggregate("max(amount) - min(amount)"), 105.25)
    made.measures(Freshness("happened"), 6 * 3600)
    # Half of six values lie below 1, where a quarter of the reference does: 0.25 ln 2 + 0.25 ln 1.5.
    made.measures(Distribution("ratio", reference={"edges": [1], "counts": [3, 9]}), 0.2746530722)
    before = Past(Interval.of_day("2026-11-19"), Fraction(5))
    made.measures(Change(RowCount(), unit="absolute"), 2, past=(before,))


def _of_tables(made: _Made, others: Table, written: str) -> None:
    made.counts(Gaps("happened", "1h"), 22, table=evolve(made.things, partition="happened"), rows=24)
    made.counts(Schema({"id": "integer", "code": "text", "ratio": "float"}, extra="allowed", any_case=True), 0)
    made.counts(Schema(["id", "nowhere"], extra="allowed", any_case=True), 1)
    made.measures(ColumnCount(), len(THINGS))
    made.measures(ColumnCount(others), len(THINGS) - len(OTHERS))
    made.counts(Reference("parent", others, "id"), 1, 1)
    made.counts(NotIn("parent", others, "id"), 5, 1)
    made.counts(SameAs("parent", others, "id"), 2)
    made.counts(SameAs("parent", others, "id", counted=True), 6)
    made.measures(Ratio(others), 7 / 3)
    made.measures(Ratio(others, as_="difference"), 4)
    made.counts(Query(f"SELECT id FROM {written} WHERE amount < 0"), 1)
    made.measures(QueryValue(f"SELECT max(id) FROM {written}"), 6)
