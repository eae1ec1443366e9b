"""Silences: what is known and not to be told, by matchers, for a while, with who said so and why.

    pending     it has not begun
    active      what it matches is not told; what was told stays as it is, and its recovery is told
    expired     it ran out, or somebody ended it

(Source of the words and rules: Alertmanager, ``silence/silence.go``, Apache-2.0.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from attrs import evolve, frozen
from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from dq.alerting.incidents import open_groups
from dq.alerting.matcher import Matcher, all_match, spelled
from dq.alerting.routing import LABELS
from dq.model.errors import UsageError
from dq.plugins import suggest
from dq.store.schema import alert_group
from dq.store.schema import silence as table

State = Literal["pending", "active", "expired"]

LONGEST_NAME = 120
"""Characters of a name, as the store keeps it."""

_ALWAYS_THERE = ("environment", "kind", "outcome", "part", "severity", "subject")
"""The labels that no incident is without."""
_ANYTHING = ("anything at all", "~", "0")


@frozen(kw_only=True)
class Silence:
    """A silence as it is stored.

    Attributes:
        id: unique in the store.
        environment: where it holds.
        matchers: all must hold.
        author: who made it.
        comment: why.
        created_at: when it was made.
        starts_at, ends_at: from when on, and up to when, without that moment.
    """

    id: int
    environment: str
    matchers: tuple[Matcher, ...]
    author: str
    comment: str
    created_at: datetime
    starts_at: datetime
    ends_at: datetime

    def state(self, now: datetime) -> State:
        """Return what it is at ``now``."""
        if now >= self.ends_at:
            return "expired"
        return "active" if now >= self.starts_at else "pending"

    def active(self, now: datetime) -> bool:
        """Return whether it holds at ``now``."""
        return self.state(now) == "active"

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether it is about an incident with ``labels``."""
        return all_match(self.matchers, labels)

    def __str__(self) -> str:
        return spelled(self.matchers)


def add(
    connection: Connection,
    environment: str,
    matchers: Iterable[Matcher],
    *,
    author: str,
    comment: str,
    ends_at: datetime,
    now: datetime,
    starts_at: datetime | None = None,
) -> Silence:
    """Store a silence, and make the pump look at what is open.

    Args:
        connection: in a transaction that the caller commits.
        environment: where it holds.
        matchers: all must hold.
        author: who makes it.
        comment: why.
        ends_at: up to when.
        now: the real time.
        starts_at: from when on; None: from now.

    Raises:
        UsageError: when it has no matcher, matches everything, is over already, ends before it starts, or says neither
            who nor why.
    """
    starts = now if starts_at is None else max(starts_at, now)
    silence = Silence(
        id=0,
        environment=environment,
        matchers=tuple(matchers),
        author=a_name(author),
        comment=comment.strip(),
        created_at=now,
        starts_at=starts,
        ends_at=ends_at,
    )
    _refuse(silence, now)
    row = {
        "environment": environment,
        "matchers": json.dumps([str(matcher) for matcher in silence.matchers], ensure_ascii=False),
        "author": silence.author,
        "comment": silence.comment,
        "created_at": now,
        "starts_at": starts,
        "ends_at": ends_at,
    }
    made: Any = connection.execute(table.insert().values(**row)).inserted_primary_key
    touch(connection, environment)
    return evolve(silence, id=int(made[0]))


def expire(connection: Connection, environment: str, id_: int, now: datetime) -> Silence:
    """End a silence now, and make the pump look at what is open; return it as it is then.

    Args:
        connection: in a transaction that the caller commits.
        environment: where it holds.
        id_: which one.
        now: the real time.

    Raises:
        UsageError: when there is none of that id in the environment, or it is over.
    """
    found = connection.execute(
        select(table).where(table.c.id == id_, table.c.environment == environment).with_for_update()
    ).first()
    if found is None:
        raise UsageError(f"there is no silence {id_} in environment {environment!r}; `dq alerts silence list --all`")
    silence = _from_row(found)
    if silence.state(now) == "expired":
        raise UsageError(f"silence {id_} is over since {silence.ends_at:%Y-%m-%d %H:%M}Z")
    ended = evolve(silence, starts_at=min(silence.starts_at, now), ends_at=now)
    connection.execute(table.update().where(table.c.id == id_).values(starts_at=ended.starts_at, ends_at=ended.ends_at))
    touch(connection, environment)
    return ended


def listed(
    connection: Connection,
    environment: str,
    now: datetime,
    *,
    all: bool = False,  # noqa: A002  # the word of the command's option
) -> tuple[Silence, ...]:
    """Return the silences that hold or will, or all that there ever were, oldest first."""
    query = select(table).where(table.c.environment == environment).order_by(table.c.id)
    if not all:
        query = query.where(table.c.ends_at > now)
    return tuple(_from_row(row) for row in connection.execute(query))


def touch(connection: Connection, environment: str, groups: Iterable[str] | None = None) -> None:
    """Make the pump look at groups, because what holds for them has changed.

    The rows are locked in the order in which closes lock them, so that the two do not wait for each other.

    Args:
        connection: in a transaction that the caller commits.
        environment: whose groups.
        groups: their keys; None: all that have an open incident.
    """
    wanted = None if groups is None else set(groups)
    rows = [{"group": key} for key in open_groups(connection, environment) if wanted is None or key in wanted]
    if rows:
        mine = alert_group.c.group_key == bindparam("group")
        connection.execute(alert_group.update().where(mine).values(dirty=alert_group.c.dirty + 1), rows)


def a_name(text: str) -> str:
    """Return who ``text`` names, as the store keeps it.

    Raises:
        UsageError: when it names nobody, or is too long.
    """
    name = text.strip()
    if not name:
        raise UsageError("say who you are: an empty name is none")
    if len(name) > LONGEST_NAME:
        raise UsageError(f"the name is longer than {LONGEST_NAME} characters")
    return name


def _refuse(silence: Silence, now: datetime) -> None:
    matchers = silence.matchers
    if not matchers:
        raise UsageError("a silence needs a matcher, e.g. 'suite=\"orders\"'")
    for matcher in matchers:
        if matcher.label not in LABELS:
            raise UsageError(f"the matcher {matcher}: there is no label; {suggest(matcher.label, LABELS)}")
        if matcher.label == "environment" and not matcher.matches({"environment": silence.environment}):
            raise UsageError(
                f"the matcher {matcher} holds nowhere in environment {silence.environment!r}, and a silence is about "
                "one environment"
            )
    if all(_says_nothing(matcher, silence.environment) for matcher in matchers):
        raise UsageError(f"the silence {silence} matches everything; name a suite, a check, an owner or an org")
    if not silence.comment:
        raise UsageError("say in the comment why it is silenced")
    if silence.ends_at <= now:
        raise UsageError(f"the silence would be over already: it ends {silence.ends_at:%Y-%m-%d %H:%M}Z")
    if silence.ends_at <= silence.starts_at:
        raise UsageError(
            f"the silence ends {silence.ends_at:%Y-%m-%d %H:%M}Z, before it starts, {silence.starts_at:%Y-%m-%d %H:%M}Z"
        )


def _says_nothing(matcher: Matcher, environment: str) -> bool:
    """Return whether every incident of the environment, or one with anything in that label, satisfies ``matcher``.

    Alertmanager refuses what matches the empty text. Of labels that are always there, ``.+`` is no better.
    """
    if matcher.label == "environment":
        return matcher.matches({"environment": environment})
    if matcher.operator in ("!=", "!~"):
        return matcher.value == "" and matcher.label in _ALWAYS_THERE
    probes = _ANYTHING if matcher.label in _ALWAYS_THERE else ("",)
    return all(matcher.matches({matcher.label: probe}) for probe in probes)


def _from_row(row: Any) -> Silence:
    return Silence(
        id=row.id,
        environment=row.environment,
        matchers=tuple(Matcher.parse(text) for text in json.loads(row.matchers)),
        author=row.author,
        comment=row.comment,
        created_at=row.created_at,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
    )
