"""Gaps: the table of the module, random partitions, and every live engine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq import By, Check, Gaps, Suite, Table
from dq.checks.plan import plan
from dq.context import Context
from dq.execute import execute
from dq.model.errors import DeclarationError
from dq.model.interval import Interval
from dq.model.reading import Moment
from dq.model.result import Result
from dq.model.severity import Outcome
from tests.engines import Live, live

__all__ = ["live"]

DAY = Interval.of_day("2024-06-26")
NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "there", "now", "violations", "looked_at", "said"),
    [
        (Gaps("at", "1h"), range(24), NOW, 0, 24, None),
        (Gaps("at", "1h"), [n for n in range(24) if n not in (3, 4, 9)], NOW, 3, 24,
         "none in 2024-06-26 03:00 to 05:00, 2024-06-26 09:00 to 10:00"),
        # What is not over yet is not looked at, however much of it has gone by.
        (Gaps("at", "1h"), range(6), DAY.start + 6.5 * HOUR, 0, 6, None),
        (Gaps("at", "1h"), range(5), DAY.start + 6 * HOUR, 1, 6, "none in 2024-06-26 05:00 to 06:00"),
        (Gaps("at", "1h"), [], DAY.start, 0, 0, None),
        # The last bucket is cut short by the partition.
        (Gaps("at", "7h"), [0, 1, 2], NOW, 1, 4, "none in 2024-06-26 21:00 to 2024-06-27 00:00"),
        (Gaps("day", "1d", lookback="3d"), [0, 3], NOW, 2, 4, "none in 2024-06-24 to 2024-06-25"),
        (Gaps("day", "1d"), [], NOW, 1, 1, "none in 2024-06-26"),
        (Gaps("at", "1h"), range(0, 24, 2), NOW, 12, 24,
         "none in " + ", ".join(f"2024-06-26 {n:02}:00 to {n + 1:02}:00" for n in (1, 3, 5, 7, 9)) + " and 7 more"),
    ],
)  # fmt: skip
def test_which_bucket_is_a_violation(
    kind: Gaps, there: Sequence[int], now: datetime, violations: int, looked_at: int, said: str | None
) -> None:
    found = kind.count({"buckets": [(number, 1) for number in there]}, Moment(now, DAY))
    assert (found.violations, found.rows, found.said) == (violations, looked_at, said)


@given(st.integers(1, 90_000), st.integers(0, 5), st.sets(st.integers(0, 40)), st.integers(-3 * 86_400, 3 * 86_400))
def test_buckets_tile_the_time_that_is_over(every: int, back: int, there: set[int], off: int) -> None:
    size = timedelta(seconds=max(every, 2_000))
    kind, now = Gaps("at", size, lookback=back * size or None), DAY.end + timedelta(seconds=off)
    buckets = list(kind.buckets(Moment(now, DAY)))
    found = kind.count({"buckets": [(n, 1) for n in there]}, Moment(now, DAY))
    assert found.violations == len([b for n, b in enumerate(buckets) if n not in there])
    assert all(a.end == b.start for a, b in itertools.pairwise(buckets))
    assert all(b.end <= min(now, DAY.end) for b in buckets)
    if buckets:
        assert buckets[0].start == DAY.start - back * size
        assert min(now, DAY.end) - buckets[-1].end < size
    assert found.detail is not None
    total = sum(
        (datetime.fromisoformat(g["end"]) - datetime.fromisoformat(g["start"]) for g in found.detail["gaps"]),
        timedelta(0),
    )
    assert total == sum((b.end - b.start for n, b in enumerate(buckets) if n not in there), timedelta(0))


COLUMNS = {"at": "timestamp", "org": "text", "day": "date"}


def load(live: Live, rows: Sequence[tuple[float | None, str]]) -> None:
    """Load rows so many hours after the start of the day."""

    def made(hours: float | None) -> tuple[object, object]:
        if hours is None:
            return None, None
        at = (DAY.start + hours * HOUR).replace(tzinfo=None)
        return (at.isoformat(" "), at.date().isoformat()) if live.name == "sqlite" else (at, at.date())

    live.load("t", COLUMNS, [(made(hours)[0], org, made(hours)[1]) for hours, org in rows])


def run(live: Live, *checks: Check, by: By | None = None, partition: str | None = "at") -> list[Result]:
    suite = Suite("s", Table("live", "t", partition=partition), checks=checks, by=by)
    source = live.datasource()
    context = Context(DAY, NOW)
    results = [r for scan in plan(suite) for r in execute(scan, suite.table, suite.by_of, lambda _: source, context)]
    source.close()
    return results


def test_gaps_are_named_on_every_engine(live: Live) -> None:
    hours = [n + 0.99 for n in range(24) if n not in (0, 5, 6)]
    load(live, [*((h, "a") for h in hours), (-1.5, "a"), (-30, "a"), (24, "a"), (None, "a")])
    for partition in ("at", "day", None):
        found = run(
            live,
            Check("hours", Gaps("at", "1h"), warning="1%", critical="20%"),
            Check("back", Gaps("at", "1h", lookback="3h")),
            Check("days", Gaps("day", "1d", lookback="3d"), error=1),
            Check("where", Gaps("at", "12h"), where="org = 'b'"),
            partition=partition,
        )
        assert [(r.violations, r.rows) for r in found] == [(3, 24), (5, 27), (1, 4), (2, 2)]
        assert found[0].sentence.startswith("3 buckets violate: every 1h of at has rows; more than the ")
        assert found[0].sentence.endswith("(none in 2024-06-26 00:00 to 01:00, 2024-06-26 05:00 to 07:00)")
        assert "none in 2024-06-25 21:00 to 22:00, 2024-06-25 23:00 to 2024-06-26 01:00" in found[1].sentence
        assert found[2].sentence.endswith("1 allowed (none in 2024-06-23)")
        assert found[2].outcome is Outcome.PASS


def test_each_org_has_its_own_gaps(live: Live) -> None:
    load(live, [(1, "a"), (13, "a"), (1, "b"), (-5, "c"), (2, "d"), (22, "d")])
    found = run(live, Check("halves", Gaps("at", "12h")), by=By("org", expected=["a", "b", "c", "d"]))
    assert {(r.group.label if r.group else None): (r.outcome, r.violations) for r in found} == {
        None: (Outcome.FAIL, 1), "b": (Outcome.FAIL, 1), "c": (Outcome.NO_DATA, None),
    }  # fmt: skip
    assert "none in 2024-06-26 12:00 to 2024-06-27 00:00" in found[0].sentence


def test_an_empty_partition_is_no_data(live: Live) -> None:
    load(live, [(-5, "a")])
    (found,) = run(live, Check("hours", Gaps("at", "1h", lookback="6h")))
    assert found.outcome is Outcome.NO_DATA


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gaps("", "1h"), "is not the name of a column"),
        (lambda: Gaps("at", "1 hour"), "'1 hour' is not a duration"),
        (lambda: Gaps("at", timedelta(milliseconds=5)), "is not a number of whole seconds"),
        (lambda: Gaps("at", "1h", lookback="90m"), "lookback=1h30m is not a whole number of 1h"),
        (lambda: Gaps("at", "1s", lookback="1d"), "has more than 10000 buckets"),
    ],
)
def test_what_cannot_mean_anything_is_refused(make: object, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Suite("s", Table("w", "t"), checks=[Check("c", make())])  # type: ignore[operator]  # a function
