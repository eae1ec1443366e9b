"""``import dq``: the words for declaring, and nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dq
from dq.model.errors import UsageError

WORDS = {
    "AddUp", "Aggregate", "Between", "By", "Calendar", "Change", "Check", "ColumnCount", "Compare",
    "ConsistentCasing", "Count", "Dataset", "Decreasing", "DistinctCount", "DistinctShare", "Distribution",
    "DuplicateCount", "Explained", "Freshness", "Gaps", "HasLength", "Increasing", "IsNull", "Level", "Like", "Matches",
    "Max", "Mean", "Median", "Min", "MostCommon", "NoOverlap", "NoneOf", "NotBetween", "NotIn", "NotLike", "NotMatches",
    "NotNull", "OneOf", "Quantile", "Query", "QueryValue", "Ratio", "Reconciliation", "Reference", "RowCount", "Rows",
    "SameAs", "Schema", "Sequential", "Share", "ShowRows", "Sla", "Stage", "StdDev", "Suite", "Sum", "Table",
    "TextLength", "TogetherOneOf", "Total", "Unique", "UniqueCount", "UniqueShare", "UniqueWithinRow", "ValidJson",
    "Values", "ZScore", "__version__", "above", "at_least", "at_most", "below", "between", "exactly", "outside",
    "reconcile", "run",
}  # fmt: skip
HEAVY = {"airflow", "alembic", "duckdb", "fastapi", "jinja2", "requests", "slack_sdk", "sqlalchemy", "sqlglot"}


def loaded_after(code: str) -> set[str]:
    """Return the top-level packages that are loaded when ``code`` has run in a new Python."""
    script = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_all_is_what_the_documentation_promises() -> None:
    assert set(dq.__all__) == WORDS
    assert sorted(dq.__all__) == dq.__all__


def test_every_word_is_there() -> None:
    for name in dq.__all__:
        assert getattr(dq, name) is not None, name


def test_an_unknown_word_is_an_attribute_error() -> None:
    assert not hasattr(dq, "Expectation")


def test_importing_dq_loads_nothing_heavy() -> None:
    assert not loaded_after("import dq") & HEAVY


def test_declaring_and_loading_a_project_load_no_sql_library(tmp_path: Path) -> None:
    (tmp_path / "dq.toml").touch()
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "a.py").write_text(
        "from dq import Check, Rows, Suite, Table\ns = Suite('s', Table('w', 't'), checks=[Check('c', Rows('x'))])\n",
        encoding="utf-8",
    )
    code = f"""
from pathlib import Path
from dq.project import load_project
assert load_project(Path({str(tmp_path)!r})).suites
"""
    assert not loaded_after(code) & HEAVY


def test_run_and_reconcile_load_what_they_need_when_they_are_used() -> None:
    assert "sqlalchemy" not in loaded_after("import dq; dq.run; dq.reconcile"), "named, they are not used yet"
    assert "sqlalchemy" in loaded_after("import dq; dq.run.__globals__['app'].run")


def test_the_model_imports_attrs_the_standard_library_and_tables_of_holidays_only() -> None:
    assert dq.__file__ is not None
    for path in sorted((Path(dq.__file__).parent / "model").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            allowed = {*sys.stdlib_module_names, "attrs", "holidays"}
            assert all(n.startswith("dq.model") or n.partition(".")[0] in allowed for n in names), (path, names)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda home: dq.run(5, project=home), "5 is no suite or reconciliation"),  # type: ignore[arg-type]  # the mistake
        (lambda home: dq.run("s", 20, project=home), "20 is not a date"),  # type: ignore[arg-type]  # the mistake
        (lambda home: dq.run("s", "2026-11-31", project=home), "'2026-11-31' is not a date"),
        (lambda home: dq.run("s", project=home / "typo"), "there is no such folder"),
        (lambda home: dq.reconcile("s", project=home), "is a suite, not a reconciliation"),
    ],
)
def test_wrong_use_from_python_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Path], object], words: str
) -> None:
    (tmp_path / "dq.toml").touch()
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "a.py").write_text(
        "from dq import Check, Rows, Suite, Table\ns = Suite('s', Table('w', 't'), checks=[Check('c', Rows('x'))])\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("DQ_HOME", str(tmp_path))  # a mistyped folder must not lead to another project
    with pytest.raises(UsageError, match=words):
        call(tmp_path)
