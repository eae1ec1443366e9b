"""Runs a case through ``dq.run`` and tells how what came of it differs from what the source expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import frozen

import dq
from dq import Suite
from dq.model.errors import DqError
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from tests.conformance.asked import ROW, NotTranslated

MAY_BE_REFUSED = ("regex", "pattern", "quantile", "json")
"""Parts of the names of the kinds that an engine may refuse."""

AGREES = Decimal("0.000001")
"""So far may an observed number be off where the case gives no tolerance."""


@frozen
class Verdict:
    """What came of a case on one engine.

    Attributes:
        case: its id.
        word: passed, failed, refused.
        why: in words, where it did not pass.
    """

    case: str
    word: str
    why: str = ""


def verdict(case: Mapping[str, Any], make: Callable[[], Suite], **where: Any) -> Verdict:
    """Return what came of a case."""
    name, expected = str(case["id"]), case["expected"]
    try:
        run = dq.run(make(), **where)
    except (DqError, NotTranslated) as error:
        return _refused(case, f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001  # of one case; the others are to be seen, too
        return Verdict(name, "failed", f"it broke: {type(error).__name__}: {error}")
    broken = [r.sentence for r in run.results if r.outcome is Outcome.UNMEASURED]
    if broken:
        return _refused(case, broken[0])
    if expected.get("error"):
        return Verdict(name, "failed", f"{expected.get('error_text')} was expected, but it was measured")
    found = list(differences(case, run))
    return Verdict(name, "failed" if found else "passed", "; ".join(found))


def _refused(case: Mapping[str, Any], why: str) -> Verdict:
    if case["expected"].get("error"):
        return Verdict(str(case["id"]), "passed")
    may = any(part in str(case["kind"]) for part in MAY_BE_REFUSED)
    return Verdict(str(case["id"]), "refused" if may else "failed", why)


def differences(case: Mapping[str, Any], run: Run) -> Iterator[str]:
    """Yield how a run differs from what is expected."""
    expected, results = case["expected"], run.summaries
    passed = all(r.severity is None for r in results)
    if "passed" in expected and passed is not expected["passed"]:
        yield f"passed is {passed}: {'; '.join(r.sentence for r in results)}"
    if "status" in expected:
        status = "pass" if run.worst is None else "warn" if run.worst <= Severity.WARNING else "fail"
        if status != expected["status"]:
            yield f"status is {status}, not {expected['status']}"
    yield from _counts(case, results)
    if "sample_rows" in expected and len(failing_rows(results)) != expected["sample_rows"]:
        yield f"{len(failing_rows(results))} rows are shown, not {expected['sample_rows']}"
    if "failing_rows" in expected or "failing_values" in expected:
        yield from _failing(case, expected, results)
    for name in ("observed", "own_measure", "own_counts"):
        if name in expected:
            yield from _observed(expected[name], results, Decimal(str(expected.get("observed_tolerance") or AGREES)))


COUNTS_NO_ROWS = ("unique", "not_accepted", "distinct")
"""Parts of the names of the kinds where a source counts values or groups, not the rows that have them."""


def _counts(case: Mapping[str, Any], results: Sequence[Result]) -> Iterator[str]:
    expected, result = case["expected"], results[0]
    if result.violations is None or any(part in case["kind"] for part in COUNTS_NO_ROWS):
        return
    bad, rows = result.violations or 0, result.rows or 0
    found = {
        "failed_rows": bad,
        "passed_rows": rows - bad,
        "failing_count": bad,
        "row_count": rows,
        "failing_percent": 100 * bad / rows if rows else 0,
        "own_bad_rows": bad,
    }
    for name, value in found.items():
        if name in expected and expected[name] != value:
            yield f"{name} is {value}, not {expected[name]}"


def _failing(case: Mapping[str, Any], expected: Mapping[str, Any], results: Sequence[Result]) -> Iterator[str]:
    wanted = expected.get("failing_rows")
    rows = failing_rows(results)
    if wanted is not None and rows != sorted(wanted):
        yield f"the rows {rows} fail, not {sorted(wanted)}"
    if expected.get("failing_values") is not None:
        columns = _columns(case)
        values = Counter(_comparable([case["table"]["columns"][c]["values"][row] for c in columns]) for row in rows)
        if values != Counter(map(_comparable, expected["failing_values"])):
            yield f"the values {list(values)} fail, not {expected['failing_values']}"


def failing_rows(results: Sequence[Result]) -> list[int]:
    """Return the numbers of the failing rows, as dq tells them by the key of the table."""
    listed = [result.failing for result in results if result.failing is not None]
    return sorted({row[found.columns.index(ROW)] for found in listed for row in found.rows})


def _columns(case: Mapping[str, Any]) -> list[str]:
    params = case["params"]
    return [params["column"]] if "column" in params else params.get("columns") or [params["a"], params["b"]]


def _comparable(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Mapping):
        value = list(value.values())
    return tuple(value) if isinstance(value, list) else (value,)


def _observed(expected: Any, results: Sequence[Result], off: Decimal) -> Iterator[str]:
    first = results[0]
    detail = first.detail or {}
    found: Any = first.observed
    if isinstance(expected, Mapping) and "quantiles" in expected:
        pairs = list(zip(expected["values"], (r.observed for r in results), strict=True))
    elif isinstance(expected, Mapping):
        pairs = [(expected["self"], detail.get("here")), (expected["other"], detail.get("there"))]
    elif isinstance(expected, list):
        found = detail.get("values")
        if found is None:
            found = [column[0] for column in detail["columns"]] if "columns" in detail else list(detail.values())
        pairs = list(zip(sorted(expected, key=str), sorted(found, key=str), strict=False))
        if len(expected) != len(found):
            yield f"observed {found}, not {expected}"
    else:
        pairs = [(expected, found)]
    for wanted, value in pairs:
        # dq calls an empty table no data, and measures nothing there; a count of it is 0.
        if wanted == 0 and value is None and first.outcome is Outcome.NO_DATA and first.rows == 0:
            continue
        if not _agree(wanted, value, off):
            yield f"observed {value}, not {wanted}"


def _agree(wanted: Any, value: Any, off: Decimal) -> bool:
    if isinstance(wanted, int | float) and isinstance(value, int | float | Decimal):
        return abs(Decimal(str(wanted)) - Decimal(str(value))) <= off
    return bool(wanted == value) or str(wanted) == str(value)
