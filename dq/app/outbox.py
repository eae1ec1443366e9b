"""What was decided and has not arrived: seen, tried again at once, given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.silences import a_name
from dq.alerting.undelivered import Undelivered, drop, retry, undelivered
from dq.app.alerting import note
from dq.app.session import in_transaction, transaction
from dq.model.errors import UsageError
from dq.project import Project


def waiting(project: Project) -> tuple[Undelivered, ...]:
    """Return what was decided and has not arrived.

    Raises:
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return undelivered(connection, project.environment, datetime.now(UTC))


def retry_now(
    project: Project, who: str, ids: Sequence[str] = (), *, channel: str | None = None
) -> tuple[Undelivered, ...]:
    """Make what waits, or was refused for good, due now; return it.

    Args:
        project: whose environment.
        who: the name of a person.
        ids: as ``waiting`` gives them; none: everything.
        channel: only what is for this channel.

    Raises:
        UsageError: when one of ``ids`` waits no more, or nothing waits for ``channel``.
        StoreError: when the store cannot be used.
    """
    now = datetime.now(UTC)
    by = a_name(who)

    def work(connection: Connection) -> tuple[Undelivered, ...]:
        found = undelivered(connection, project.environment, now)
        wanted = (
            _picked(found, ids) if ids else tuple(one for one in found if one.id and channel in (None, one.channel))
        )
        if not wanted and channel is not None:
            raise UsageError(f"nothing waits for the channel {channel!r}; `dq alerts outbox` shows what waits")
        retry(connection, project.environment, wanted)
        for one in wanted:
            note(connection, project, events.EventName.ALERT_RETRIED, one.channel, _of_message(one, by), now)
        return wanted

    return in_transaction(project, work)


def give_up(project: Project, who: str, ids: Sequence[str]) -> tuple[Undelivered, ...]:
    """Give messages up, all of ``ids`` or none, and write down who did; return them.

    Raises:
        UsageError: when one of ``ids`` waits no more, or a pump sends it just now.
        StoreError: when the store cannot be used.
    """
    now = datetime.now(UTC)
    by = a_name(who)

    def work(connection: Connection) -> tuple[Undelivered, ...]:
        wanted = _picked(undelivered(connection, project.environment, now), ids)
        left = drop(connection, wanted, now)
        if left:
            names = ", ".join(one.id for one in left)
            raise UsageError(f"{names}: a pump has it in its hands just now; look again in a minute")
        for one in wanted:
            note(connection, project, events.EventName.ALERT_DROPPED, one.channel, _of_message(one, by), now)
        return wanted

    return in_transaction(project, work)


def _picked(found: Iterable[Undelivered], ids: Iterable[str]) -> tuple[Undelivered, ...]:
    by_id = {one.id: one for one in found if one.id}
    for id_ in ids:
        if id_ not in by_id:
            known = f"what waits is {', '.join(by_id)}" if by_id else "nothing waits"
            raise UsageError(f"there is no {id_!r} in the outbox; {known}")
    return tuple(by_id[id_] for id_ in dict.fromkeys(ids))


def _of_message(one: Undelivered, by: str) -> dict[str, object]:
    return {
        "id": one.id,
        "kind": one.kind,
        "channel": one.channel,
        "key": one.key,
        "title": one.title,
        "attempts": one.attempts,
        "error": one.error,
        "by": by,
    }
