"""The table of promises: which DAG runs and tasks have to be done by when, until it is known what came of it.

The promise of a suite stands in the project, and every partition follows from it. Which runs a DAG has only Airflow
knows, so each is written down when it is heard of. What is seen of it goes to the table of observations, like all else.

A run that is heard of is promised, but for one whose time was over before it was made, when nothing of its subject had
been heard of by that time: a new DAG that catches up with its past tells nothing about it.

What a look at Airflow says:

    state of the task or run           it was seen done  observation
    ---------------------------------  ----------------  ------------------------------------------------------------
    success                            yes               none: that one has its time
    success                            no                arrived; in time, unless an earlier look saw it not done when
                                                         it was late. Its own word, which may come a little after its
                                                         state, counts before that, and is waited for
    failed, upstream_failed            -                 failed
    skipped, removed; the run is gone  -                 skipped
    none, scheduled, queued            -                 waiting
    anything else                      -                 started

Who marks a task as success by hand is believed. A promise with ``warn_before`` is written down as soon as the run is
heard of, any other at the latest when it is late. A *turn* is when it is late, which is after its grace, and each rung
of its ladder.

    now      it was seen done          looked at since the last turn  judged by
    -------  ------------------------  -----------------------------  --------------------------------------------------
    in time  -                         -                              all that was seen: at most a warning before it is
                                                                      due, which stands through the grace
    late     in time: its own word,    -                              that; its state without its word says when at most
             or a look before it was
             late
    late     by a look after that      -                              all that was seen, when its own word was waited
                                                                      for
    late     no                        no                             not judged: it may be done by now. When that lasts
                                                                      for ``BLIND``, it is told as what it is,
                                                                      *unmeasured*
    late     no                        yes                            all that was seen

It is settled when it is done, and when it was skipped and its time is over: until then somebody may clear it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from dq.model.observation import Observation, ObservedState
from dq.model.promise import ITSELF, Promise, sighted
from dq.model.sla import Sla
from dq.sla import excuses, observations
from dq.sla.evaluate import Expectation, evaluate
from dq.sla.partitions import Judged, what_came
from dq.store.schema import promise as table
from dq.store.upsert import insert_or_lock

BLIND = timedelta(minutes=10)
"""For so long after a turn nobody need have looked."""

FOR_ITS_WORD = timedelta(seconds=30)
"""For so long a success that was only seen is not judged."""


@frozen
class Open:
    """A promise of which it is not known yet what came of it.

    Attributes:
        promise: what was promised.
        looked_at: when somebody last looked at Airflow for it, UTC; None: nobody did.
    """

    promise: Promise
    looked_at: datetime | None


def record(connection: Connection, environment: str, promise: Promise, now: datetime) -> bool:
    """Write a promise down, unless it is known; return whether it is promised, as said above."""
    c, subject = table.c, (environment, promise.kind, promise.subject)
    if promise.due_at < promise.created_at:
        mine = zip((c.environment, c.kind, c.subject), subject, strict=True)
        heard = connection.execute(select(func.min(c.registered_at)).where(*(x == y for x, y in mine))).scalar()
        if heard is None or heard > promise.due_at:
            return False
    insert_or_lock(
        connection,
        table,
        {
            **dict(zip(("environment", "kind", "subject"), subject, strict=True)),
            "run": promise.run_id,
            "due_at": promise.due_at,
            "registered_at": now,
            "body": _dump(promise),
        },
    )
    return True


def look(
    connection: Connection, environment: str, promise: Promise, state: str | None, now: datetime, source: str
) -> None:
    """Write down what Airflow says of a promise, as said above.

    Args:
        connection: in a transaction.
        environment: e.g. ``prod``.
        promise: which one; it is written down.
        state: of the task or run, as Airflow has it; ``GONE``: it no longer has the run.
        now: the time of the look.
        source: who looks.
    """
    mine = select(table.c.looked_at).where(*_is(environment, promise)).with_for_update()
    looked_at: datetime | None = connection.execute(mine).scalar()
    what, at = sighted(state), now
    if what == "arrived":
        seen = observations.load_runs(connection, environment, [promise.run_id], promise.subject)
        if any(one.state == what and one.kind == promise.kind for one in seen):
            return  # that was the look that counts: from it on its own word is waited for
        if looked_at is None or looked_at <= promise.late_at:
            at = min(now, promise.late_at)
    observations.record(connection, environment, observed(promise, what, at, source, str(state or "not scheduled")))
    connection.execute(table.update().where(*_is(environment, promise)).values(looked_at=now))


def observed(promise: Promise, state: ObservedState, at: datetime, source: str, detail: str = "") -> Observation:
    """Return a sighting of what is promised."""
    return Observation(
        kind=promise.kind,
        subject=promise.subject,
        interval=promise.interval,
        state=state,
        at=at,
        source=source,
        detail=detail,
        run=promise.run_id,
    )


def still_open(connection: Connection, environment: str) -> tuple[Open, ...]:
    """Return the promises of which it is not known yet what came of them, the one that is due first at the front."""
    return tuple(Open(_load(row), row.looked_at) for row in _open(connection, environment))


def _open(connection: Connection, environment: str) -> Iterable[Any]:
    c = table.c
    mine = (c.environment == environment, c.settled_at.is_(None), c.body != "")
    return connection.execute(select(table).where(*mine).order_by(c.due_at, c.subject, c.run))


def judge(connection: Connection, environment: str, now: datetime) -> tuple[tuple[Promise, Judged], ...]:
    """Judge the promises that are open and are due, or may be at risk, and write down what came of them."""
    rows = [(Open(_load(row), row.looked_at), row) for row in _open(connection, environment)]
    holding = excuses.holding(connection, environment)
    due = [(one, row) for one, row in rows if one.promise.warns or one.promise.due_at <= now]
    by_run: dict[tuple[str, str, str], list[Observation]] = defaultdict(list)
    for sighting in observations.load_runs(connection, environment, {one.promise.run_id for one, _ in due}):
        by_run[sighting.kind, sighting.subject, sighting.run].append(sighting)
    found = []
    for one, row in due:
        promise = one.promise
        seen = _known(one, by_run[promise.kind, promise.subject, promise.run_id], now)
        if seen is None:
            continue
        expectation = Expectation(
            kind=promise.kind,
            subject=promise.subject,
            interval=promise.interval,
            due_at=promise.due_at,
            sla=promise.sla,
            run=promise.run_id,
        )
        expectation = evolve(expectation, excuse=excuses.reason(holding, expectation))
        judged = Judged.of(evaluate([expectation], seen, now)[0], row)
        start, end = promise.interval.start, promise.interval.end
        over = judged.verdict.over and (judged.verdict.arrived_at is not None or promise.late_at <= now)
        values = {
            **what_came(judged, row),
            "settled_at": now if over else None,
            "owner": promise.labels.get("owner", ""),
            "interval_start": start,
            "interval_end": end,
        }
        if any(getattr(row, name) != value for name, value in values.items()):
            connection.execute(table.update().where(*_is(environment, promise)).values(**values))
        found.append((promise, judged))
    return tuple(found)


def _known(one: Open, seen: Sequence[Observation], now: datetime) -> list[Observation] | None:
    """Return what a promise is judged by; None: it is not judged yet."""
    promise = one.promise
    late_at, looked_at = promise.late_at, one.looked_at
    done = [o for o in seen if o.state == "arrived"]
    certain = [o for o in done if o.source == ITSELF or o.at < late_at]
    if certain or now < late_at:
        return [o for o in seen if o.state != "arrived" or o in certain]
    if done:
        return None if looked_at is not None and now < looked_at + FOR_ITS_WORD else list(seen)
    turn = max(at for at in (late_at, *(promise.due_at + rung for _, rung in promise.sla.ladder)) if at <= now)
    if looked_at is None or looked_at < turn:
        blind = observed(promise, "unmeasured", now, "dq", "nobody has looked at Airflow since")
        return None if now < turn + BLIND else [blind]
    return list(seen)


def _is(environment: str, promise: Promise) -> tuple[Any, ...]:
    c = table.c
    return (
        c.environment == environment,
        c.kind == promise.kind,
        c.subject == promise.subject,
        c.run == promise.run_id,
    )


def _dump(promise: Promise) -> str:
    sla = promise.sla
    body = asdict(promise, recurse=False, filter=lambda one, _: one.name != "due_at") | {"sla": sla.to_json()}
    return json.dumps(body, default=datetime.isoformat, ensure_ascii=False, sort_keys=True)


def _load(row: Any) -> Promise:
    body = json.loads(row.body)
    for name in ("logical_date", "run_after", "created_at"):
        body[name] = None if body[name] is None else datetime.fromisoformat(body[name])
    return Promise(**body | {"sla": Sla.from_json(body["sla"]), "due_at": row.due_at})
