"""Every case of other projects' own tests, on every engine: the verdict, the failing rows and the number.

``DQ_CASES`` names the file of cases; by default the one beside this. What the counts are is printed in the end.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dq
from dq import Suite
from dq.project import Project, StoreSettings
from dq.secret import Secret
from tests.conformance.asked import Asked
from tests.conformance.loading import Tables
from tests.conformance.running import COUNTS_NO_ROWS, differences, verdict
from tests.conformance.translate import looks_at_columns, source_of, translate
from tests.conftest import conformance
from tests.engines import Live, live

__all__ = ["live"]

HERE = Path(__file__).parent
CASES = Path(os.environ.get("DQ_CASES") or HERE / "checks.jsonl")
MOST_EXCEPTIONS = 0.02

Case = dict[str, Any]


def cases(path: Path = CASES) -> list[Case]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def exceptions() -> dict[str, dict[str, Any]]:
    """Return the cases that are known not to pass, each with its reason and, where they are not all, its engines."""
    return tomllib.loads((HERE / "exceptions.toml").read_text(encoding="utf-8"))


def made(wanted: Sequence[Case], live: Live, root: Path) -> Iterator[tuple[Case, Callable[[], Suite], dict[str, Any]]]:
    """Load the tables of the cases, and yield each with what makes its suite, and where that runs."""
    store = StoreSettings(Secret(f"sqlite:///{root}/store.sqlite", "store.url", root))
    where = {"project": Project(root=root, environment="test", store=store), "datasources": {"live": live.url}}
    tables = Tables(live)
    tables.load(wanted, looks_at_columns)
    for case in wanted:
        numbered = not looks_at_columns(case["kind"])
        asked = Asked(case, partial(tables.of, case, numbered=numbered), "`" if live.name == "mariadb" else '"')
        yield case, partial(translate, asked), where


@pytest.mark.slow
def test_each_case(live: Live, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    known = exceptions()
    failed, excepted, judged = [], 0, 0
    for case, make, where in made(cases(), live, tmp_path):
        found = verdict(case, make, **where)
        review = case["use"] == "review"
        conformance(request.node, source_of(case["source"]["project"]), live.name, found.word, review=review)
        judged += not review
        if found.word != "failed" or review:
            continue
        exception = known.get(str(case["id"]))
        if exception is not None and live.name in exception.get("engines", [live.name]):
            excepted += 1
        else:
            failed.append(f"{found.case} {case['kind']}: {found.why}")
    assert not failed, f"{len(failed)} of {judged} cases failed on {live.name}:\n" + "\n".join(failed)
    assert excepted <= MOST_EXCEPTIONS * judged


def test_each_exception_is_of_a_case_and_has_its_reason() -> None:
    ids = {str(case["id"]) for case in (*cases(), *cases(HERE / "checks.jsonl"))}
    for name, exception in exceptions().items():
        assert name in ids, name
        assert exception["reason"].strip()


@pytest.mark.slow
def test_each_parameter_that_no_case_has(live: Live, tmp_path: Path) -> None:
    """What a source does with them stands in its definitions; the cases are our own."""
    found = [verdict(case, make, **where) for case, make, where in made(PARAMETERS, live, tmp_path)]
    assert not [f"{v.case}: {v.why}" for v in found if v.word != "passed"]


PARAMETERS = cases(HERE / "parameters.jsonl")
ANOTHER: dict[str, Callable[[Any], Any]] = {
    "passed": lambda passed: not passed,
    "status": lambda status: "warn" if status == "fail" else "fail",
    "failing_rows": lambda rows: [*rows, 99],
    "failing_values": lambda values: [*values, "never"],
    "own_counts": lambda counts: [counts[0], counts[1] + 1],
}


def _another(name: str, value: Any) -> Any:
    """Return a value that would be wrong."""
    if name in ANOTHER:
        return ANOTHER[name](value)
    if isinstance(value, dict):
        return {**value, "values": [v + 1 for v in value["values"]]} if "values" in value else {**value, "other": -1}
    return [*value, "never"] if isinstance(value, list) else -1 if value is None else value + 1


@pytest.mark.slow
def test_another_expectation_is_a_difference(tmp_path: Path) -> None:
    """A comparison that could not fail would prove nothing."""
    first = {(c["source"]["project"], c["kind"], *c["expected"]): c for c in reversed(cases(HERE / "checks.jsonl"))}
    wanted = [case for case in (*first.values(), *PARAMETERS) if case["use"] == "yes"]
    missed, names = [], set()
    for case, make, where in made(wanted, Live("sqlite", f"sqlite:///{tmp_path}/live.sqlite"), tmp_path):
        run = dq.run(make(), **where)
        for name, value in case["expected"].items():
            uncounted = run.summaries[0].violations is None or any(part in case["kind"] for part in COUNTS_NO_ROWS)
            if name == "observed_tolerance" or (name == "own_bad_rows" and uncounted):
                continue
            names.add(name)
            changed = {**case, "expected": {**case["expected"], name: _another(name, value)}}
            if not list(differences(changed, run)):
                missed.append(f"{case['id']} {case['kind']} {name}")
    assert not missed
    assert names >= {"passed", "status", "observed", "own_measure", "failing_rows", "failing_values", "failed_rows"}
