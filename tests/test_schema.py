"""Schema and ColumnCount: the decision table of the module, the types of every live engine, and random orders."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq import Check, ColumnCount, RowCount, Rows, Schema, Suite, Table, at_least, exactly
from dq.checks.column_type import FAMILIES, ColumnType, holds
from dq.checks.plan import plan
from dq.checks.schema import _moved
from dq.context import Context
from dq.execute import Memory, execute
from dq.model.check import Kind
from dq.model.errors import DeclarationError, MeasureError
from dq.model.group import By
from dq.model.interval import Interval
from dq.model.reading import Counted, Moment
from dq.model.result import Result
from dq.model.severity import Outcome
from tests.engines import Live, live

__all__ = ["live"]

DAY = Interval.of_day("2024-06-26")
NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
FOUND = (("id", "bigint", False), ("name", "character varying(20)", True), ("price", "numeric(10,2)", None))


def count(kind: Schema, found: object = FOUND, recorded: object = None) -> Counted:
    return kind.count({"columns": found}, Moment(NOW, DAY, recorded=recorded))


@pytest.mark.parametrize(
    ("kind", "violations", "said"),
    [
        (Schema({"id": "integer", "name": "varchar", "price": "decimal(10,2)"}, ordered=True), 0, None),
        (Schema(["price", "name", "id"]), 0, None),
        (Schema(["price", "name", "id"], ordered=True), 2, "moved: price, name"),
        (Schema(["name", "id", "price"], ordered=True), 1, "moved: name"),
        (Schema(["id", "price"], ordered=True, extra="allowed"), 0, None),
        (Schema(["price", "id"], ordered=True, extra="allowed"), 1, "moved: price"),
        (Schema(["id", "price"]), 1, "not declared: name"),
        (Schema("id", extra="allowed"), 0, None),
        (Schema("covfefe", extra="allowed"), 1, "missing: covfefe"),
        (Schema(["id", "nome"]), 3, "not declared: name, price; missing: nome"),
        (Schema({"id": "text", "name": None, "price": "decimal(12,2)"}), 2,
         "type: id is bigint, not text, price is numeric(10,2), not decimal(12,2)"),
        (Schema([]), 3, "not declared: id, name, price"),
        (Schema([], extra="allowed", forbid="x"), 0, None),
        (Schema(forbid=["pii_*", "NAME"]), 0, None),
        (Schema(forbid=["n*e"]), 1, "forbidden: name"),
        (Schema(forbid=["N*E"], any_case=True), 1, "forbidden: name"),
        (Schema(["ID", "Name", "price"]), 4, "not declared: id, name; missing: ID, Name"),
        (Schema(["ID", "Name", "price"], any_case=True, ordered=True, nullable={"ID": False}), 0, None),
        (Schema(nullable={"id": False, "name": True}), 0, None),
        (Schema(nullable={"id": True, "name": False}), 2, "NULL: id must allow it, name must not allow it"),
        (Schema(nullable={"gone": True}), 1, "missing: gone"),
        (Schema(at={"id": 1, "price": 3}), 0, None),
        (Schema(at={"name": 1}), 1, "position: name is column 2, not 1"),
        (Schema(at={"gone": 1}), 1, "missing: gone"),
        # One column is one violation, whatever is wrong with it.
        (Schema({"id": "text"}, extra="allowed", nullable={"id": True}, at={"id": 2}, forbid="id"), 1,
         "forbidden: id; type: id is bigint, not text; NULL: id must allow it; position: id is column 1, not 2"),
    ],
)  # fmt: skip
def test_what_is_a_violation(kind: Schema, violations: int, said: str | None) -> None:
    counted = count(kind)
    assert (counted.violations, counted.said, counted.rows, counted.record) == (violations, said, 3, None)


def test_whether_null_is_allowed_is_not_guessed() -> None:
    with pytest.raises(MeasureError, match="does not say whether price may be NULL"):
        count(Schema(nullable={"price": False}))


def test_nothing_declared_records_first_and_tells_drift_later() -> None:
    first = count(Schema())
    assert (first.violations, first.said) == (0, "nothing was recorded yet; its 3 columns are now")
    assert first.record == [list(column) for column in FOUND]
    same = count(Schema(), recorded=first.record)
    assert (same.violations, same.said, same.record) == (0, None, None)
    now = (("name", "character varying(40)", True), ("id", "bigint", True), ("extra", "text", None))
    drift = count(Schema(), now, first.record)
    assert (drift.violations, drift.said) == (
        4,
        (
            "added: extra; removed: price; retyped: name is character varying(40), not character varying(20);"
            " NULL: id must not allow it; moved, which is allowed: id"
        ),
    )
    assert drift.detail
    assert drift.detail["added"] == ["extra"]
    assert count(Schema(extra="allowed"), now, first.record).violations == 3
    assert count(Schema(ordered=True), tuple(reversed(FOUND)), first.record).violations == 2


@given(st.permutations(list("abcdefg")), st.sets(st.sampled_from("abcdefg")))
def test_no_fewer_columns_explain_an_order(there: list[str], declared: set[str]) -> None:
    wanted = sorted(declared)
    moved = _moved(wanted, there)
    left = [name for name in wanted if name not in moved]
    assert left == [name for name in there if name in left]
    longest = max(
        (len(some) for some in _subsets(wanted) if list(some) == [name for name in there if name in some]), default=0
    )
    assert len(left) == longest


def _subsets(names: list[str]) -> list[tuple[str, ...]]:
    return [
        tuple(name for i, name in enumerate(names) if chosen >> i & 1) for chosen in range(1 << len(names))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "found", "same"),
    [
        ("integer", "bigint", True), ("integer", "int(10) unsigned", True), ("integer", "HUGEINT", True),
        ("integer", "NUMBER(38,0)", True), ("integer", "NUMBER(10,2)", False), ("integer", "numeric(10,0)", False),
        ("integer", "double precision", False), ("int", "INTEGER", True), ("int", "bigint", False),
        ("bigint", "bigint(20)", True), ("bigint", "bigint(20) unsigned", False), ("int8", "bigint", True),
        ("decimal", "numeric(10,2)", True), ("decimal(10,2)", "DECIMAL(10,2)", True),
        ("DECIMAL( 10, 2 )", "numeric(10,2)", True), ("decimal(10,2)", "numeric(12,2)", False),
        ("numeric(10,2)", "decimal(10,2)", True), ("decimal(10,2)", "numeric", False),
        ("float", "double precision", True), ("double", "float8", True), ("double", "real", False),
        ("varchar", "character varying(20)", True), ("varchar(20)", "character varying(20)", True),
        ("varchar(20)", "varchar(40)", False), ("character varying(20)", "character varying(20)", True),
        ("varchar", "text", False), ("text", "character varying(20)", True), ("text", "enum('a','b')", False),
        ("enum('a','b')", "enum('a','b')", True), ("boolean", "tinyint(1)", True), ("integer", "tinyint(1)", True),
        ("boolean", "tinyint(4)", False), ("bool", "boolean", True),
        ("timestamp", "datetime(6)", True), ("timestamp", "timestamp(3) without time zone", True),
        ("timestamp", "timestamp with time zone", False), ("timestamptz", "TIMESTAMP WITH TIME ZONE", True),
        ("datetime", "timestamp", False), ("date", "timestamp", False), ("json", "jsonb", True),
        ("my_domain", "MY_DOMAIN", True), ("my_domain", "other", False), ("text", "", False), ("", "", True),
    ],
)  # fmt: skip
def test_types_are_compared_by_what_they_mean(declared: str, found: str, same: bool) -> None:  # the answer
    assert holds(declared, found) is same


def test_each_type_has_a_family_for_itself() -> None:
    for family, names in FAMILIES.items():
        for name in names - {"number"}:
            assert ColumnType.of(name).families == {family}
    assert ColumnType.of("number").families == {"integer", "decimal"}


TYPES = {
    "whole": ("integer", "integer"),
    "exact": ("decimal(10,2)", "decimal(10,2)"),
    "part": ("double", "float"),
    "word": ("varchar(20)", "text"),
    "day": ("date", "date"),
    "at": ("timestamp", "timestamp"),
}
ON_SQLITE = {"day": "text", "at": "text"}  # it has no types for time, and the tests keep them as text


def run(
    live: Live, *checks: Check, table: str = "t", by: By | None = None, memory: Memory | None = None
) -> list[Result]:
    suite = Suite("s", Table("live", table), checks=checks, by=by)
    source, context, known = live.datasource(), Context(DAY, NOW), memory or Memory()
    results = [
        result
        for scan in plan(suite)
        for result in execute(scan, suite.table, suite.by_of, lambda _: source, context, memory=known)
    ]
    source.close()
    return results


def test_families_are_the_same_on_every_engine(live: Live) -> None:
    live.load("t", {name: made for name, (made, _) in TYPES.items()}, [])
    families = {name: family for name, (_, family) in TYPES.items()}
    wanted = families | (ON_SQLITE if live.name == "sqlite" else {})
    sized = Schema({**wanted, "word": "varchar"}) if live.name != "duckdb" else Schema(wanted)
    declared = Check("types", Schema(wanted, ordered=True))
    wrong = Check("wrong", Schema({**wanted, "whole": "text", "gone": None}))
    results = run(live, declared, wrong, Check("sized", sized))
    assert [(r.outcome, r.violations, r.rows) for r in results] == [
        (Outcome.PASS, 0, 6), (Outcome.FAIL, 2, 6), (Outcome.PASS, 0, 6),
    ]  # fmt: skip
    assert results[0].sentence.startswith("holds: the columns are whole integer, exact decimal(10,2), part float")
    assert "2 columns violate" in results[1].sentence
    assert "missing: gone; type: whole is" in results[1].sentence
    assert "more than the 0 that error allows" in results[1].sentence


def test_the_schema_is_of_the_table_though_the_suite_is_by_org(live: Live) -> None:
    live.load("t", {"id": "integer", "org": "text"}, [(1, "a"), (2, "b")])
    found = run(
        live, Check("columns", Schema(["id", "org"])), Check("rows", RowCount(), error=at_least(1)), by=By("org")
    )
    assert {(r.check, r.outcome, r.orgs) for r in found} == {
        ("columns", Outcome.PASS, None), ("rows", Outcome.PASS, 2),
    }  # fmt: skip


def test_drift_on_an_engine_is_named(live: Live) -> None:
    live.load("t", {"id": "integer", "name": "text"}, [])
    (first,) = run(live, Check("drift", Schema()))
    assert (first.outcome, first.violations) == (Outcome.PASS, 0)
    assert "nothing was recorded yet; its 2 columns are now" in first.sentence
    live.load("t", {"id": "double", "more": "text"}, [])
    (later,) = run(live, Check("drift", Schema()), memory=Memory(recorded={"drift": first.record}))
    assert (later.outcome, later.violations) == (Outcome.FAIL, 3)
    for words in ("added: more", "removed: name", "retyped: id is"):
        assert words in later.sentence


def test_columns_are_counted_here_and_in_another_table(live: Live) -> None:
    live.load("t", {"id": "integer", "name": "text", "more": "text"}, [])
    live.load("u", {"id": "integer"}, [])
    checks = [
        Check("three", ColumnCount(), error=exactly(3)),
        Check("many", ColumnCount(), error=at_least(4)),
        Check("beside", ColumnCount(Table("live", "u")), error=exactly(0)),
        Check("nowhere", ColumnCount(Table("live", "nowhere")), error=exactly(0)),
    ]
    found = run(live, *checks)
    assert [(r.outcome, r.observed) for r in found] == [
        (Outcome.PASS, 3), (Outcome.FAIL, 3), (Outcome.FAIL, 2), (Outcome.UNMEASURED, None),
    ]  # fmt: skip
    assert found[2].sentence == "number of columns beside u is 2 (3 here, 1 in u), outside exactly 0 (error)"


def test_a_table_that_is_not_there_is_not_measured(live: Live) -> None:
    live.load("t", {"id": "integer"}, [])
    (found,) = run(live, Check("columns", Schema("id")), table="nowhere")
    assert found.outcome is Outcome.UNMEASURED
    assert "nowhere" in found.sentence


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (Schema(["a", "a"]), {}, "the column 'a' is declared twice"),
        (Schema({"a": 5}), {}, "the type 5 of a is not a text"),
        (Schema(["a"], extra="ok"), {}, 'extra=\'ok\' is not "forbidden" or "allowed"'),
        (Schema(["a"], at={"a": 0}), {}, "is not a position; the first is 1"),
        (Schema(["a"], nullable={"a": 2}), {}, "is not True or False"),
        (Schema(["a"]), {"where": "b > 0"}, "where= says nothing about the columns are a"),
        (Schema(["a"]), {"by": "org"}, "by= says nothing about"),
        (Schema(["a"]), {"error": "1%"}, "a share does not fit it"),
        (ColumnCount("t"), {"error": at_least(1)}, "'t' is not a Table"),
        (ColumnCount(), {}, "it has no bounds"),
    ],
)  # fmt: skip
def test_what_cannot_mean_anything_is_refused(kind: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Suite("s", Table("w", "t"), checks=[Check("c", kind, **settings)])


def test_a_row_kind_still_takes_where_and_by() -> None:
    kind: Kind = Rows("a > 0")
    assert Suite("s", Table("w", "t"), checks=[Check("c", kind, where="b", by="org")])
