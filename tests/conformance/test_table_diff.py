"""Every case of the tests of data-diff and reladiff, on each pair of engines: which rows each table has alone.

``DQ_DIFF_CASES`` names the file of cases; by default the one beside this. What the counts are is printed in the end.
Each case runs as it is, and with everything by checksums of segments, small as it is.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dq import Reconciliation, Stage, Table
from dq.context import Context
from dq.keys import Bounds, compare_stage
from dq.model.interval import Interval
from dq.model.keys import Cells, KeyComparison
from tests.conformance.loading import Tables
from tests.conftest import conformance
from tests.engines import NAMES, Live

HERE = Path(__file__).parent
CASES = Path(os.environ.get("DQ_DIFF_CASES") or HERE / "table_diff.jsonl")
CONTEXT = Context(Interval.of_day("2026-11-20"), datetime(2026, 11, 21, tzinfo=UTC))
BY_CHECKSUMS = Bounds(whole=-1)

Case = dict[str, Any]
Loaded = tuple[Live, Tables]


def cases(path: Path = CASES) -> list[Case]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@pytest.fixture(scope="module")
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give an engine with the tables of all cases, which are loaded once."""
    folder = tmp_path_factory.mktemp("tables")
    files = {"duckdb": f"duckdb:///{folder}/live.duckdb", "sqlite": f"sqlite:///{folder}/live.sqlite"}
    made: dict[str, Loaded] = {}

    def engine(name: str) -> Loaded:
        if name not in made:
            url = files.get(name) or request.getfixturevalue(f"{name}_server").new_database()
            made[name] = Live(name, url), Tables(Live(name, url))
            made[name][1].load(map(_tables, cases()), lambda _: True)
        return made[name]

    yield engine
    for live, _ in made.values():
        for datasource in live.opened:
            datasource.close()


def _tables(case: Case) -> Case:
    """Return a case in the form that is loaded."""
    return {"kind": "diff", "table": case["a"], "other_tables": {"b": case["b"]}}


@pytest.mark.parametrize("b", NAMES)
@pytest.mark.parametrize("a", NAMES)
def test_each_case(a: str, b: str, loaded: Any, request: pytest.FixtureRequest) -> None:
    failed = []
    for case in cases():
        wanted = expected(case)
        for bounds in (Bounds(), BY_CHECKSUMS):
            found = answer(compared(case, loaded(a), loaded(b), bounds), distinct=_distinct(case))
            wrong = [f"{n}: {found.get(n)!r:.300}, not {w!r:.300}" for n, w in wanted.items() if found.get(n) != w]
            conformance(
                request.node, project(case), a if a == b else f"{a[:4]}-{b[:4]}", "failed" if wrong else "passed",
                review=case.get("use") == "review",
            )  # fmt: skip
            failed += [f"{case['id']} {case['source']['test']}, {bounds}: {one}" for one in wrong]
    assert not failed, "\n".join(failed)


def compared(case: Case, a: Loaded, b: Loaded, bounds: Bounds) -> KeyComparison:
    form = _tables(case)
    tables = {"a": a[1].of(form, None, numbered=False), "b": b[1].of(form, "b", numbered=False)}
    stages = [Stage(name, Table(name, table.name)) for name, table in tables.items()]
    declared = Reconciliation("diff", by="org", stages=stages, key=case["key"], values=case.get("compare") or ())
    opened = {"a": a[0].datasource(), "b": b[0].datasource()}
    try:
        return compare_stage(
            declared, stages[1], opened.__getitem__, CONTEXT, "test", distinct=_distinct(case), bounds=bounds
        )
    finally:
        for datasource in opened.values():
            datasource.close()


def answer(found: KeyComparison, *, distinct: bool) -> dict[str, Any]:
    """Return what dq found in the form of a case's ``expected``."""
    ours: Counter[tuple[Cells, Cells]] = Counter()
    theirs: Counter[tuple[Cells, Cells]] = Counter()
    for one in found.differences:
        ours.update({(one.key, values): count for values, count in one.baseline.items()})
        theirs.update({(one.key, values): count for values, count in one.stage.items()})
    if distinct:
        ours, theirs = Counter(set(ours)), Counter(set(theirs))
    return {
        "rows_a": found.rows[0],
        "rows_b": found.rows[1],
        "minus": in_order((ours - theirs).elements()),
        "plus": in_order((theirs - ours).elements()),
        "keys_only_in_a": found.found["missing"],
        "keys_only_in_b": found.found["extra"],
        "keys_changed": found.found["changed"],
        "keys_equal": found.equal,
    }


def expected(case: Case) -> dict[str, Any]:
    """Return what a case expects, its rows as texts."""
    wanted, width = dict(case["expected"]), len(case["key"])
    for name, side in (("minus", "a"), ("plus", "b")):
        types = [case[side]["columns"][column]["type"] for column in (*case["key"], *(case.get("compare") or ()))]
        rows = ([*map(text, [*key, *values], types)] for key, values in wanted.get(name, ()))
        if name in wanted:
            wanted[name] = in_order((tuple(row[:width]), tuple(row[width:])) for row in rows)
    return wanted


def text(value: Any, kind: str) -> str | None:
    """Return a value of a case as people write it."""
    if value is None:
        return None
    if kind == "boolean":
        return str(int(value))
    if kind in {"integer", "number"}:
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    if kind.startswith("datetime"):
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        return moment.isoformat(" ").rstrip("0") if moment.microsecond else moment.isoformat(" ")
    return str(value)


def in_order(rows: Iterable[tuple[Cells, Cells]]) -> list[tuple[Cells, Cells]]:
    return sorted(rows, key=repr)


def project(case: Mapping[str, Any]) -> str:
    return str(case["source"]["project"]).rpartition("/")[2]


def _distinct(case: Case) -> bool:
    return case.get("mode") == "distinct rows"
