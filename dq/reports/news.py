"""What is new, still open and fixed since people were last told.

One thing (an org of a reconciliation, a check of a suite) and its incidents, those that wait for further bad runs left
out. *Then* is when people were last told.

    open now  opened      ended before                answer
    --------  ----------  --------------------------  --------
    yes       until then  -                           open
    yes       after then  no                          new
    yes       after then  yes, and not longer ago     back
                          than the incidents reach
    no        -           after then, well again      fixed
    no        -           after then, as somebody     accepted
                          accepts what it lacks
    no        -           after then, not looked at   dropped
                          any more
    no        -           until then                  nothing

Where nobody was told before, all that is open is new, and nothing is fixed.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from attrs import frozen

from dq.model.incident import ACCEPTED, Incident
from dq.model.names import first_of
from dq.model.severity import Severity
from dq.reports.text import clean, short_time

NAMED = 8
"""How many things of a kind are named before the others are counted."""

_NAME = 60  # characters of the name of a thing in a list
K = TypeVar("K")


class State(enum.StrEnum):
    """How a thing stands; see the table above."""

    NEW = "new"
    BACK = "back again"
    OPEN = "still open"
    FIXED = "fixed"
    ACCEPTED = "accepted"
    DROPPED = "no longer checked"

    @property
    def is_open(self) -> bool:
        """Whether it is not well now."""
        return self in {State.NEW, State.BACK, State.OPEN}


@frozen(kw_only=True)
class Item:
    """One thing that is not well, or was.

    Attributes:
        name: for people.
        state: how it stands.
        severity: how bad it is, or was.
        at: since when it is open, or when it ended; UTC.
        before: of what is back again, when it had ended, UTC; else None.
        key: of an org ``Group.key``; else empty.
    """

    name: str
    state: State
    severity: Severity
    at: datetime
    before: datetime | None = None
    key: str = ""

    @property
    def words(self) -> str:
        """How it stands for people, e.g. ``"still open since 18 Nov 05:02"``."""
        if self.state is State.OPEN:
            return f"{self.state} since {short_time(self.at)}"
        if self.before is not None:
            return f"{self.state}, was well from {short_time(self.before)}"
        return str(self.state)


@frozen(kw_only=True)
class Reopened:
    """A partition that was well, was measured again, and is not well.

    Attributes:
        partition: as people write it.
        well_at: when it was last found well, UTC.
        bad_at: when it was found bad after that, UTC; None: it is not told, as others may have been bad before.
    """

    partition: str
    well_at: datetime
    bad_at: datetime | None


@frozen(kw_only=True)
class Closed:
    """That a partition was judged.

    Attributes:
        partition: as people write it.
        at: when, UTC.
        well: whether nothing was wrong.
    """

    partition: str
    at: datetime
    well: bool


@frozen(kw_only=True)
class News:
    """What is new, still open and fixed.

    Attributes:
        since: when people were last told; None: never before.
        items: what is or was not well, worst first.
        reopened: partitions that were well and no longer are.
        unlisted: how many orgs more are open or were fixed, which the report does not list and so does not name.
        whole: it is of all orgs; if not, of some, who may not have had every report.
    """

    since: datetime | None
    items: tuple[Item, ...] = ()
    reopened: tuple[Reopened, ...] = ()
    unlisted: int = 0
    whole: bool = True

    def of(self, state: State) -> tuple[Item, ...]:
        """Return what stands so, worst first."""
        return tuple(item for item in self.items if item.state is state)

    @property
    def short(self) -> str:
        """What changed, for a subject line, e.g. ``"3 new, 1 fixed"``; empty: nothing did, or nothing can be said."""
        if self.since is None:
            return ""
        states = (State.NEW, State.BACK, State.FIXED, State.ACCEPTED)
        counts = [f"{count} {state}" for state in states if (count := len(self.of(state)))]
        if self.reopened:
            counts.append(f"{len(self.reopened)} partition{'s' * (len(self.reopened) > 1)} reopened")
        return ", ".join(counts)


def states(
    incidents: Iterable[Incident],
    since: datetime | None,
    *,
    key: Callable[[Incident], K],
    name: Callable[[Incident], str],
) -> dict[K, Item]:
    """Return how each thing stands of which there is something to tell.

    Args:
        incidents: of an environment or a subject; those that ended reach as far back as something may come back from.
        since: when people were last told; None: never before.
        key: what tells one thing from another.
        name: what it is called.
    """
    together: dict[K, list[Incident]] = defaultdict(list)
    for incident in incidents:
        if incident.pending is None:
            together[key(incident)].append(incident)
    judged = ((thing, _item(same, since, name)) for thing, same in together.items())
    return {thing: item for thing, item in judged if item is not None}


def _item(same: Sequence[Incident], since: datetime | None, name: Callable[[Incident], str]) -> Item | None:
    opened = [incident for incident in same if incident.ended_at is None]
    ended = [(incident.ended_at, incident) for incident in same if incident.ended_at is not None]
    if opened:
        worst = max(opened, key=lambda incident: incident.severity)
        at = min(incident.opened_at for incident in opened)
        before = max((when for when, _ in ended if when <= at), default=None)
        if since is not None and at <= since:
            state, before = State.OPEN, None
        elif since is None or before is None:
            state, before = State.NEW, None
        else:
            state = State.BACK
        return Item(name=name(worst), state=state, severity=worst.severity, at=at, before=before)
    lately = [(when, incident) for when, incident in ended if since is not None and when > since]
    if not lately:
        return None
    state = State.FIXED
    if all(incident.ended == "vanished" for _, incident in lately):
        state = State.DROPPED
    elif any(incident.ended == "recovered" and ACCEPTED in incident.labels for _, incident in lately):
        state = State.ACCEPTED
    at, worst = max(lately, key=lambda pair: (pair[1].severity, pair[0]))
    return Item(name=name(worst), state=state, severity=worst.severity, at=at)


def reopened(closes: Iterable[Closed], since: datetime | None) -> tuple[Reopened, ...]:
    """Return the partitions that were found well, then bad after ``since``, and well no more; the newest first.

    Args:
        closes: of one subject, in the order in which they were done.
        since: when people were last told; None: never before, so that any time is after it.
    """
    found: dict[str, tuple[datetime, Reopened]] = {}
    well: dict[str, datetime] = {}
    for close in closes:
        if close.well:
            well[close.partition] = close.at
            found.pop(close.partition, None)
        elif (well_at := well.pop(close.partition, None)) is not None and (since is None or close.at > since):
            again = Reopened(partition=close.partition, well_at=well_at, bad_at=close.at)
            found[close.partition] = (close.at, again)
    return tuple(again for _, again in sorted(found.values(), key=lambda one: one[0], reverse=True))


def worst_first(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items, severest first, then those that are open longest."""
    return tuple(sorted(items, key=lambda item: (-item.severity, item.at, item.name)))


def sentences(news: News) -> list[tuple[str, str]]:
    """Return a word and a sentence on each state that occurs, and on each partition that was reopened."""
    said = []
    if news.since is None:
        said.append(("first", f"nothing was told before, so nobody knows what is new; {_count(news)}"))
    for state in State if news.since is not None else ():
        items = news.of(state)
        if items:
            names = [f"{clean(item.name, _NAME)} ({_of(item)})" for item in items]
            said.append((state, f"{_number(items)}: {first_of(names, NAMED)}"))
    if news.unlisted:
        orgs = f"{news.unlisted} org{'s' * (news.unlisted > 1)}"
        said.append(("further", f"{orgs} open or fixed that this report does not list"))
    said += [
        (
            "reopened",
            f"{one.partition} was well on {short_time(one.well_at)} and is bad"
            + (" now" if one.bad_at is None else f" since {short_time(one.bad_at)}"),
        )
        for one in news.reopened[:NAMED]
    ]
    if len(news.reopened) > NAMED:
        said.append(("reopened", f"{len(news.reopened) - NAMED} more partitions"))
    return said or [("nothing", "nothing is new, nothing is open and nothing was fixed")]


def _count(news: News) -> str:
    still = [item for item in news.items if item.state.is_open]
    return f"{_number(still)} {'is' if len(still) == 1 else 'are'} not well" if still else "nothing is open"


def _number(items: Sequence[Item]) -> str:
    """Return how many they are, and that they are orgs where they are."""
    count = len(items)
    return f"{count} org{'s' * (count > 1)}" if all(item.key for item in items) else str(count)


def _of(item: Item) -> str:
    if item.state is State.OPEN:
        return f"{item.severity}, since {short_time(item.at)}"
    if item.before is not None:
        return f"{item.severity}, was well from {short_time(item.before)}"
    return str(item.severity) if item.state.is_open else f"was {item.severity}"
