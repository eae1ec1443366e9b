"""Watching, from outside of Airflow's scheduler: look, judge, tell, and say that the watcher lives; round after round.

Nothing of it keeps the others from being done: an Airflow that is down, a table that is locked, a store that restarts.
A round in which promises could not be judged does not say that the watcher lives.

What is told about an Airflow, and about what cannot be told:

    seen in two rounds in a row                       incident
    ------------------------------------------------  -----------------------------------------
    a part of an Airflow is unhealthy                 airflow / its name / the part, error
    an Airflow does not answer, or refuses            airflow / its name / API, error
    a message was decided ``STUCK`` ago, and waits    watch / outbox / the channel, error
    a file of declarations, or dq.toml, does not load watch / declarations / the file, error
    a promise cannot be judged                        watch / declarations / its name, error

What is open of these and was found by a watcher that is no more ends with the first round of the next one; so does what
is about an Airflow that ``dq.toml`` no longer names. Where nothing can be told, because ``alerting/routes.toml`` is
refused or the word that messages have not left has not left itself, the dead-man's switch is not called.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from attrs import define, field, frozen

from dq.alerting.fold import News
from dq.alerting.incidents import group_key, open_keys
from dq.alerting.undelivered import Undelivered
from dq.app.closing import pump
from dq.app.folding import fold_news
from dq.app.looking import Eyes, Looked, look
from dq.app.outbox import waiting
from dq.app.overdue import sla_check
from dq.app.session import in_transaction, judgement_time, transaction
from dq.http import UnreachableError, request
from dq.model.errors import ConfigError, DqError
from dq.model.incident import UNWATCHED, Finding, IncidentKey, SubjectKind
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity
from dq.project import FILE, Project, load_project
from dq.sla import watchers
from dq.sla.evaluate import SlaVerdict

STUCK = timedelta(minutes=10)
"""A message that was decided so long ago and has not left is told of, by another way."""

PING_SECONDS = 5.0
"""The dead-man's switch must answer within."""
PING_EVERY = 60.0
"""Seconds between two calls of it."""


@frozen(kw_only=True)
class Round:
    """What a round did.

    Attributes:
        at: when it began, by the clock of judgements.
        looked: what was looked at.
        verdicts: what was judged.
        sent: messages that a channel took.
        undelivered: how many messages wait, or were given up.
        judged: whether promises could be judged.
        told: whether channels could be told at all.
        whole: whether all that is declared could be read and judged.
        problems: what went wrong, a sentence each.
    """

    at: datetime
    looked: Looked
    verdicts: tuple[SlaVerdict, ...]
    sent: int
    undelivered: int
    judged: bool
    told: bool
    whole: bool
    problems: tuple[str, ...]


@define
class Watcher:
    """What one watcher remembers from round to round; to lose it, by a restart, costs a few questions more.

    Attributes:
        project: the project, read again when a file of it changes.
        name: which watcher it is, in the store.
        started_at: when it was started, UTC.
    """

    project: Project
    name: str
    started_at: datetime = field(factory=lambda: datetime.now(UTC))
    _eyes: Eyes = field(factory=Eyes, init=False)
    _files: Mapping[str, tuple[int, int]] = field(init=False)
    _refused: bool = field(default=False, init=False)
    _ping_after: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._files = _files_of(self.project)

    def round(self, now: datetime | None = None) -> Round:
        """Make one round; whatever goes wrong is in what it returns.

        Args:
            now: the time of the judgement; None: now, or ``DQ_NOW``.
        """
        now = now or judgement_time()
        problems: list[str] = []
        looked = nothing = Looked()
        judged, told, sent, undelivered = False, False, 0, 0
        stuck: tuple[Undelivered, ...] = ()
        verdicts: tuple[SlaVerdict, ...] = ()
        with _told(problems):
            self._reload()
        with _told(problems):
            looked = look(self.project, self._eyes, now)
            problems += looked.problems
        with _told(problems):
            verdicts = sla_check(self.project, now, pump=False, news_only=True)
            judged = True
        if looked is not nothing:  # else all would seem well
            with _told(problems):
                stuck = self._tell_of_others(looked, now)
        with _told(problems):
            report = pump(self.project)
            told, sent, undelivered = True, report.sent, report.waiting + report.dead
            problems += (*report.problems, *report.reasons)
        if judged:
            with _told(problems):
                lives = self.project.environment, self.name, self.started_at, datetime.now(UTC)
                in_transaction(self.project, watchers.lives, *lives)
                if told and not any(self._is_word_of_it(one) for one in stuck):
                    self._ping()
        return Round(
            at=now,
            looked=looked,
            verdicts=verdicts,
            sent=sent,
            undelivered=max(undelivered, len(stuck)),
            judged=judged,
            told=told,
            whole=not (self._refused or self.project.failures or looked.unjudged),
            problems=tuple(dict.fromkeys(problems)),
        )

    def end(self) -> None:
        """Take the watcher out of the store: it was told to stop, and nobody must miss it.

        Raises:
            StoreError: when the store cannot be used.
        """
        in_transaction(self.project, watchers.ends, self.project.environment, self.name)

    def _reload(self) -> None:
        files = _files_of(self.project)
        if files != self._files:
            self._refused = True
            self.project = load_project(self.project.root / FILE)
            self._files, self._refused = files, False
            self._eyes.airflows.clear()

    def _tell_of_others(self, looked: Looked, now: datetime) -> tuple[Undelivered, ...]:
        """Tell of Airflows, channels and declarations that are not well; return the messages that are stuck."""
        long_ago = datetime.now(UTC) - STUCK  # delivery goes by the real clock
        stuck = tuple(one for one in waiting(self.project) if one.channel and one.since and one.since <= long_ago)
        bad: dict[IncidentKey, str] = {}
        for name, why in looked.down.items():
            bad[self._key("airflow", name, "API")] = why
        for name, parts in looked.airflows.items():
            for part in parts:
                if part.state == "unhealthy":
                    heard = "never" if part.heartbeat is None else f"{part.heartbeat:%Y-%m-%d %H:%M:%S} UTC"
                    bad[self._key("airflow", name, part.name)] = (
                        f"the {part.name.replace('_', ' ')} of Airflow {name} is not healthy; last heard of: {heard}"
                    )
        for channel in sorted({one.channel for one in stuck}):
            mine = [one for one in stuck if one.channel == channel]
            error = next((f": {one.error}" for one in mine if one.error), "")
            bad[self._key("watch", "outbox", channel)] = f"{len(mine)} messages to {channel} have not left{error}"
        # What a file says when it does not load is not for a store: it may hold anything.
        for failure in self.project.failures:
            file, place = failure.partition(":")[0], failure.partition(": ")[0]
            bad[self._key("watch", UNWATCHED, file)] = f"{place} does not load; `dq lint` says why"
        if self._refused:
            bad[self._key("watch", UNWATCHED, FILE)] = f"{FILE} is refused, so that of before holds; `dq lint` says why"
        bad |= {self._key("watch", UNWATCHED, name): why for name, why in looked.unjudged.items()}
        with transaction(self.project) as connection:  # what any watcher told, also of what is watched no more
            known = open_keys(connection, self.project.environment, "airflow", "watch")
        if bad or known:
            in_transaction(self.project, fold_news, self._news(bad, known, looked.down, now), now)
        return stuck

    def _is_word_of_it(self, one: Undelivered) -> bool:
        """Return whether it is the word that messages have not left."""
        return one.kind == "state" and one.row.group_key == group_key(self._key("watch", "outbox", ""))

    def _key(self, kind: SubjectKind, subject: str, part: str) -> IncidentKey:
        return IncidentKey(self.project.environment, kind, subject, part)

    def _news(
        self, bad: Mapping[IncidentKey, str], known: Collection[IncidentKey], down: Collection[str], now: datetime
    ) -> list[News]:
        """Return what is bad, and what is well of what was not: an Airflow that is down says nothing of its parts."""
        well = {key for key in known if key.kind == "watch" or key.subject not in down}
        day = Interval(now - timedelta(days=1), now)
        findings = []
        for key in sorted({*bad, *well}):
            sentence = bad.get(key)
            findings.append(
                Finding(
                    key=key,
                    interval=day,
                    severity=None if sentence is None else Severity.ERROR,
                    outcome=Outcome.PASS if sentence is None else Outcome.FAIL,
                    sentence=sentence or "it is well again",
                    labels={
                        "environment": key.environment,
                        "kind": key.kind,
                        **({"airflow": key.subject} if key.kind == "airflow" else {}),
                        **({} if sentence is None else {"severity": str(Severity.ERROR)}),
                    },
                    for_runs=(2, 2),
                )
            )
        return [
            News(environment=f.key.environment, kind=f.key.kind, subject=f.key.subject, findings=(f,)) for f in findings
        ]

    def _ping(self) -> None:
        """Tell whoever notices when the watcher falls silent that it lives.

        Raises:
            ConfigError: when its address is not to be had, or takes no call.
        """
        secret = self.project.watch.ping
        if secret is None or time.monotonic() < self._ping_after:
            return
        try:
            reply = request("GET", secret.reveal(), timeout=PING_SECONDS, headers={}, longest=1024)
        except UnreachableError as error:
            raise ConfigError(f"{secret.place}: {error}") from None
        if reply.status >= 300:
            raise ConfigError(f"{secret.place}: it answers with {reply.status}")
        self._ping_after = time.monotonic() + PING_EVERY


@contextmanager
def _told(problems: list[str]) -> Iterator[None]:
    """Let what goes wrong be a sentence: the watcher goes on."""
    try:
        yield
    except DqError as error:
        problems.append(str(error))


def _files_of(project: Project) -> dict[str, tuple[int, int]]:
    """Return of each file of declarations and settings when it was changed, and how long it is."""
    folders = [project.root / name for name in ("checks", "reports")]
    files = [project.root / FILE, *(file for folder in folders for file in sorted(folder.glob("*.py")))]
    found = {}
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            continue
        found[str(file)] = (stat.st_mtime_ns, stat.st_size)
    return found
