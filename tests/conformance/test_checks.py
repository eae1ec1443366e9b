"""Every case of other projects' own tests, on every engine: the verdict, the failing rows and the number.

``DQ_CASES`` names the file of cases; by default the one beside this. What the counts are is printed in the end.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dq.project import Project, StoreSettings
from dq.secret import Secret
from tests.conformance.asked import Asked
from tests.conformance.loading import Tables
from tests.conformance.running import Verdict, verdict
from tests.conformance.translate import looks_at_columns, source_of, translate
from tests.conftest import conformance
from tests.engines import Live, live

__all__ = ["live"]

HERE = Path(__file__).parent
CASES = Path(os.environ.get("DQ_CASES") or HERE / "checks.jsonl")
MOST_EXCEPTIONS = 0.02


def cases(path: Path = CASES) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def exceptions() -> dict[str, dict[str, Any]]:
    """Return the cases that are known not to pass, each with its reason and, where they are not all, its engines."""
    return tomllib.loads((HERE / "exceptions.toml").read_text(encoding="utf-8"))


def run(tables: Tables, project: Project) -> Iterator[tuple[dict[str, Any], Verdict]]:
    mark = "`" if tables.live.name == "mariadb" else '"'
    for case in cases():
        numbered = not looks_at_columns(case["kind"])
        asked = Asked(case, partial(tables.of, case, numbered=numbered), mark)
        where = {"project": project, "datasources": {"live": tables.live.url}}
        yield case, verdict(case, partial(translate, asked), **where)


def test_each_case(live: Live, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = StoreSettings(Secret(f"sqlite:///{tmp_path}/store.sqlite", "store.url", tmp_path))
    project = Project(root=tmp_path, environment="test", store=store)
    tables = Tables(live)
    tables.load(cases(), looks_at_columns)
    known = exceptions()
    failed, excepted, judged = [], 0, 0
    for case, found in run(tables, project):
        review = case["use"] == "review"
        conformance(request.config, source_of(case["source"]["project"]), live.name, found.word, review=review)
        judged += not review
        if found.word != "failed" or review:
            continue
        reason = known.get(str(case["id"]))
        if reason is not None and live.name in reason.get("engines", [live.name]):
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
