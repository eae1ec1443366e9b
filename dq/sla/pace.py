"""How long earlier runs took, so that one that has not begun can be told before it is late.

history of the last eight weeks                      what is needed
---------------------------------------------------  --------------------------------------------
at least ``ENOUGH_OF_A_DAY`` that were due that      the ``SHARE`` quantile of these
weekday
fewer, but at least ``ENOUGH`` in all                the ``SHARE`` quantile of all
less                                                 unknown: nobody is warned
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.engine import Connection

from dq.model.observation import Observation
from dq.sla.evaluate import Expectation, SlaVerdict
from dq.store.schema import promise as table

HISTORY = timedelta(weeks=8)
ENOUGH, ENOUGH_OF_A_DAY = 10, 5
SHARE = 0.9
"""Nine of ten earlier runs needed no longer."""

Paces = Mapping[tuple[str, str], Mapping[int, Sequence[int]]]


def needed(connection: Connection, environment: str, keys: Iterable[tuple[str, str]], now: datetime) -> Paces:
    """Return how many seconds the partitions of subjects took, by the weekday on which they were due.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        keys: kinds and names of the subjects.
        now: an aware time.
    """
    c, found = table.c, defaultdict[tuple[str, str], dict[int, list[int]]](lambda: defaultdict(list))
    rows = connection.execute(
        select(c.kind, c.subject, c.due_at, c.took).where(
            c.environment == environment,
            c.subject.in_({name for _, name in keys}),
            c.due_at > now - HISTORY,
            c.took.is_not(None),
            c.body == "",
        )
    )
    for row in rows:
        found[row.kind, row.subject][row.due_at.isoweekday()].append(row.took)
    return found


def of(paces: Paces, key: tuple[str, str], promised: Expectation) -> timedelta | None:
    """Return how long ``promised`` needs, by the table above; None: too little is known."""
    by_day = paces.get(key, {})
    history = by_day.get(promised.due_at.isoweekday(), ())
    if len(history) < ENOUGH_OF_A_DAY:
        history = [seconds for day in by_day.values() for seconds in day]
        if len(history) < ENOUGH:
            return None
    return timedelta(seconds=quantile(history))


def quantile(seconds: Sequence[int]) -> int:
    """Return the smallest of ``seconds`` that at least ``SHARE`` of them do not exceed."""
    ordered = sorted(seconds)
    return ordered[-1 - int(len(ordered) * (1 - SHARE) + 1e-9)]


def took(verdict: SlaVerdict, seen: Iterable[Observation]) -> int | None:
    """Return for how many seconds the making of a partition ran; None: its beginning or its end was not seen.

    Args:
        verdict: what came of it.
        seen: what was seen of its subject.
    """
    mine = [o for o in seen if o.interval == verdict.expectation.interval and o.at <= verdict.now]
    ends = [o.at for o in mine if o.state == "done"] or [o.at for o in mine if o.state in ("arrived", "wrong")]
    begun = [o.at for o in mine if o.state == "started" and ends and o.at <= min(ends)]
    return round((min(ends) - max(begun)).total_seconds()) if begun else None
