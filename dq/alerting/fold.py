"""Fold: what a closed run says, held against the incidents that are open.

One finding against the incident of its key. *Older* means: its partition starts before the newest bad one.

    open incident            finding                           answer
    -----------------------  --------------------------------  --------------------------------------------
    none                     bad                               opened (a back-fill too: nobody knew of it)
    none                     well                              well
    open                     bad, older                        ignored_older (text and severity stay)
    open                     bad, same partition or newer      worsened / eased / still_bad, by severity
    open                     well, older                       ignored_older (a back-fill closes nothing newer)
    open                     not judged (too few rows)         untouched
    open, fail               "no rows, and that is fine"       untouched (no rows are no proof of good rows)
    open, other outcome      "no rows, and that is fine"       recovered
    open                     well, same partition or newer     recovered

Bad is whatever has a severity: fail, but unmeasured and no_data too. About open incidents without a finding:

    the check                                                          answer
    -----------------------------------------------------------------  ------------------------------------
    was measured as a whole, not older (so its other orgs are well)    recovered
    was measured as a whole, older                                     ignored_older
    was unmeasured or had no data                                      untouched
    is no longer declared, its file loaded and its suite closed a run  vanished
    has another name now (``was=``)                                    renamed, then as above

What the summary of a check says about it as a whole:

    summary                                                            measured   finding of its own
    -----------------------------------------------------------------  ---------  ------------------
    pass                                                               yes        none
    fail, per org                                                      yes        none: its orgs have theirs
    fail, not per org                                                  yes        bad
    unmeasured or no_data of the worst org, other orgs are well        yes        none: its orgs have theirs
    unmeasured or no_data, with bad orgs only                          no         none: its orgs have theirs
    any of these per org, more of them bad than are stored              no         none: its orgs have theirs
    unmeasured or no_data, without any org                             no         bad
    no_data without severity (``on_empty="ok"``)                       no         "no rows, and that is fine"
    skip (not due)                                                     no         none

Damping, where ``for_runs=`` asks to tell people only of what was bad in k of its last n runs. Until then the incident
is open and *pending*: it holds these runs, and nobody is told. Its severity and text are those of the newest bad run.
For a pending one, this stands where the tables above say opened, worsened, eased, still_bad or recovered:

    this run   its last n runs, with this one      answer
    ---------  ----------------------------------  ------------------------------------------------------------
    bad, 1st   k = 1                               opened, as without damping
    bad        bad in k of them                    confirmed: it is told; opened_at stays that of the first
    bad        bad in fewer                        pending
    well       k = n                               recovered: now it takes k others
    well       none is bad                         recovered
    well       some are bad                        pending

One that ends while it is pending, also as vanished, keeps ``pending``: nobody has to be told. Once it is told, damping
does nothing more: it ends with the first good run. What is ignored or untouched above is no run. A run counts each time
that the check was measured: closed again without that, because another scan was repeated, it counts no second time;
a repeated scan does. What was declared last holds: where ``for_runs=`` is gone, the next bad run is told.

Labels that begin with ``_`` are for the pump; nothing is routed by them, and nobody sees them:

    label        of                         says
    -----------  -------------------------  ----------------------------------------------------------------
    _notify      every finding              the channels of ``notify=``, JSON
    _upstream    every finding, SLAs too    what must be well for this to mean anything, JSON: names, sorted
    _orgs        a finding of one org       how many orgs the check looked at
    _counted     a pending incident         the measurements that ``pending`` has counted, JSON
    _run         every finding of a DAG     the id of the DAG run
    _early       a finding of an SLA        it may still come in time: no pager is told
    _budget      a finding of an SLA        it is about an error budget, and no partition
    _accepted    a good finding of an org   it still differs, and who accepts that
    _sample      a finding of a known loss  what one of its records says

What a bad finding writes into an open incident that stays open:

    differs from what is stored                   row        changed_at
    --------------------------------------------  ---------  ----------
    nothing                                       stays      stays
    only how many orgs were looked at             written    stays: that is no news of this incident
    anything else, ``pending`` too                written    now
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import define, evolve, field, frozen
from sqlalchemy import bindparam
from sqlalchemy import insert as plain_insert
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from dq.alerting.incidents import group_key, of_subject, open_key, read_open, to_row
from dq.model.check import Check, Suite
from dq.model.damping import read_for_runs
from dq.model.dataset import Dataset
from dq.model.group import Group
from dq.model.incident import ACCEPTED, LOSS, NOT_THERE, SAMPLE, Ended, Finding, Incident, IncidentKey, SubjectKind
from dq.model.interval import Interval
from dq.model.message import is_web
from dq.model.reconciliation import Reconciliation, Stage
from dq.model.result import Result, Run
from dq.model.severity import Outcome
from dq.store.schema import alert_group
from dq.store.schema import incident as incident_table
from dq.store.upsert import insert_or_lock

NOTIFY = "_notify"
"""The label that carries ``notify=``; labels that begin with ``_`` are not matched and not shown."""

UPSTREAM = "_upstream"
"""The label that carries ``upstream=``: a JSON list of names."""

LONGEST_QUERY = 8_000
"""Characters of the statement that an incident keeps; no channel shows more."""

ORGS = "_orgs"
"""The label that says how many orgs the check looked at."""

RUN = "_run"
"""The label that says of which DAG run a finding is."""

COUNTED = "_counted"
"""The label of a pending incident that says which measurements it has counted: a JSON list."""


_TOLD_DETAILS = {"accepted": ACCEPTED, "sample": SAMPLE}
"""What of the detail of a Result people are told, by the labels that carry it."""

_FEW = 20
"""So many findings are looked up one by one."""


class Answer(enum.StrEnum):
    """What one finding means for the incident of its key; the tables are above."""

    OPENED = "opened"
    PENDING = "pending"
    CONFIRMED = "confirmed"
    WORSENED = "worsened"
    EASED = "eased"
    STILL_BAD = "still_bad"
    IGNORED_OLDER = "ignored_older"
    RECOVERED = "recovered"
    VANISHED = "vanished"
    RENAMED = "renamed"
    UNTOUCHED = "untouched"
    WELL = "well"


@frozen
class Measured:
    """A check that was measured as a whole: whatever of it has no finding inside ``interval`` is well.

    Attributes:
        part: the check or stage.
        interval: what was measured.
        newest: the start of the newest partition in it; differs from its start only where one run compares several.
        for_runs: as that of a finding.
    """

    part: str
    interval: Interval
    newest: datetime
    for_runs: tuple[int, int] = (1, 1)


@frozen(kw_only=True)
class News:
    """All that one close says about one subject.

    Attributes:
        environment, kind, subject: who it is about.
        findings: what was found, of this subject only.
        measured: the checks that were measured as a whole.
        parts: the checks that exist, when that is known for sure (the file loaded without error, and this news is
            of a complete run); open incidents of any other check end as vanished. None: nothing vanishes.
            An empty set closes all: the subject itself is gone.
        renames: old name to new name (``was=``).
        marks: by check, what tells this measurement of it from any other; a check without one counts as measured anew.
    """

    environment: str
    kind: SubjectKind
    subject: str
    findings: tuple[Finding, ...] = ()
    measured: tuple[Measured, ...] = ()
    parts: frozenset[str] | None = None
    renames: Mapping[str, str] = field(factory=dict)
    marks: Mapping[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for finding in self.findings:
            if (finding.key.environment, finding.key.kind, finding.key.subject) != (
                self.environment,
                self.kind,
                self.subject,
            ):
                raise ValueError(
                    f"the finding {finding.key} is not about {self.environment}/{self.kind}/{self.subject}"
                )


@frozen
class Change:
    """One answer, with the incident as it was and as it is now.

    Attributes:
        answer: what happened.
        before: the incident that was open; None: there was none.
        after: the incident from now on; its id is 0 until it is stored. None: there is none.
    """

    answer: Answer
    before: Incident | None
    after: Incident | None

    @property
    def changes(self) -> bool:
        """Whether the store must change."""
        return self.after is not None and self.after != self.before


def decide(incident: Incident | None, finding: Finding, mark: str = "") -> Answer:
    """Return what ``finding`` means for the open ``incident`` of its key; the first table above.

    Args:
        incident: as it is stored; None: there is none.
        finding: what was found.
        mark: what tells this measurement from any other; empty: it was not counted yet.
    """
    if incident is None:
        if finding.severity is None:
            return Answer.WELL
        return Answer.OPENED if finding.for_runs[0] == 1 else Answer.PENDING
    if finding.interval.start < incident.interval.start:
        return Answer.IGNORED_OLDER
    bad = finding.severity is not None
    no_proof = finding.outcome is Outcome.NO_DATA and incident.outcome is Outcome.FAIL
    if finding.outcome is Outcome.SKIP or (no_proof and not bad):
        return Answer.UNTOUCHED
    if incident.pending is not None:
        return damp(incident, bad=bad, for_runs=finding.for_runs, mark=mark)
    if finding.severity is None:
        return Answer.RECOVERED
    if finding.severity == incident.severity:
        return Answer.STILL_BAD
    return Answer.WORSENED if finding.severity > incident.severity else Answer.EASED


def damp(incident: Incident, *, bad: bool, for_runs: tuple[int, int], mark: str = "") -> Answer:
    """Return what one more run means for a pending ``incident``; the table of damping above.

    Args:
        incident: nobody was told of it yet.
        bad: what the run found.
        for_runs: in how many of its last how many runs it must be bad.
        mark: what tells this measurement from any other; empty: it was not counted yet.
    """
    wanted, most = for_runs
    lately, _ = _lately(incident, mark, bad=bad, most=most)
    if bad:
        return Answer.CONFIRMED if lately.count("1") >= wanted else Answer.PENDING
    return Answer.RECOVERED if wanted == most or "1" not in lately else Answer.PENDING


def _lately(incident: Incident | None, mark: str, *, bad: bool, most: int) -> tuple[str, list[str]]:
    """Return the last runs with this one, oldest first, and which measurements they are."""
    lately = (incident.pending or "") if incident is not None else ""
    counted: list[str] = json.loads(incident.labels.get(COUNTED, "[]")) if incident is not None else []
    if not mark or mark not in counted:
        lately += "1" if bad else "0"
        counted += [mark] if mark else []
    return lately[-most:], counted[-most:]


def fold(open_incidents: Iterable[Incident], news: News, now: datetime) -> tuple[Change, ...]:
    """Return what ``news`` means for the open incidents of its subject, in the order in which it happens.

    Findings are taken oldest partition first. Of a run over several partitions, one that is bad keeps an org's incident
    open, though a newer one may be good: nothing is closed that the run itself found to be wrong.

    Args:
        open_incidents: at most one per key; those of other subjects are left alone.
        news: what was found.
        now: the time of the close.
    """
    mine = (news.environment, news.kind, news.subject)
    current = {i.key: i for i in open_incidents if (i.key.environment, i.key.kind, i.key.subject) == mine}
    folding = _Folding(news, now, current)
    folding.rename()
    steps: list[Finding | Measured] = [*news.findings, *news.measured]
    for step in sorted(steps, key=_oldest_first):
        if isinstance(step, Finding):
            folding.hear(step)
        else:
            folding.measure(step)
    folding.rest()
    return tuple(folding.changes)


@define
class _Folding:
    """The incidents that are open so far, and what has happened to them."""

    news: News
    now: datetime
    current: dict[IncidentKey, Incident]
    changes: list[Change] = field(factory=list)
    spoken_of: set[IncidentKey] = field(factory=set)

    def _note(self, answer: Answer, key: IncidentKey, after: Incident | None) -> None:
        self.changes.append(Change(answer, self.current.pop(key, None), after))
        if after is not None and after.ended_at is None:
            self.current[after.key] = after

    def _of(self, part: str) -> list[IncidentKey]:
        return sorted(key for key in self.current if key.part == part)

    def rename(self) -> None:
        for old, new in sorted(self.news.renames.items()):
            for key in self._of(old):
                new_key = evolve(key, part=new)
                if new_key not in self.current:
                    incident = self.current[key]
                    labels = {**incident.labels, "check": new}
                    self._note(Answer.RENAMED, key, evolve(incident, key=new_key, labels=labels, changed_at=self.now))

    def hear(self, finding: Finding) -> None:
        self.spoken_of.add(finding.key)
        incident = self.current.get(finding.key)
        mark = self.news.marks.get(finding.key.part, "")
        answer = decide(incident, finding, mark)
        self._note(answer, finding.key, _after(answer, incident, finding, mark, self.now))

    def measure(self, measured: Measured) -> None:
        inside = measured.interval
        found = {f.key for f in self.news.findings if inside.start <= f.interval.start < inside.end}
        mark, for_runs = self.news.marks.get(measured.part, ""), measured.for_runs
        for key in self._of(measured.part):
            if key in found:
                continue
            self.spoken_of.add(key)
            incident = self.current[key]
            if measured.newest < incident.interval.start:
                self._note(Answer.IGNORED_OLDER, key, incident)
                continue
            answer = Answer.RECOVERED
            if incident.pending is not None:
                answer = damp(incident, bad=False, for_runs=for_runs, mark=mark)
            self._note(answer, key, _after_well(answer, incident, for_runs, mark, self.now))

    def rest(self) -> None:
        for key in sorted(self.current.keys() - self.spoken_of):
            incident = self.current[key]
            if self.news.parts is not None and key.part not in self.news.parts:
                self._note(Answer.VANISHED, key, _ended(incident, "vanished", self.now))
            else:
                self._note(Answer.UNTOUCHED, key, incident)


def _oldest_first(step: Finding | Measured) -> tuple[datetime, bool]:
    return step.interval.start, isinstance(step, Measured)


def _ended(incident: Incident, how: Ended, now: datetime) -> Incident:
    return evolve(incident, ended_at=now, ended=how, changed_at=now)


def _after_well(
    answer: Answer, incident: Incident, for_runs: tuple[int, int], mark: str, now: datetime
) -> Incident:
    counted = incident
    if incident.pending is not None:
        counted = _pending(incident, *_lately(incident, mark, bad=False, most=for_runs[1]))
    if answer is Answer.RECOVERED:
        return _ended(counted, "recovered", now)
    return incident if counted == incident else evolve(counted, changed_at=now)


def _pending(incident: Incident, lately: str, counted: list[str]) -> Incident:
    return evolve(incident, pending=lately, labels={**incident.labels, COUNTED: json.dumps(counted)})


def _after(answer: Answer, incident: Incident | None, finding: Finding, mark: str, now: datetime) -> Incident | None:
    if answer in (Answer.WELL, Answer.IGNORED_OLDER, Answer.UNTOUCHED):
        return incident
    if finding.severity is None:
        if incident is None:
            return None
        # The only things of a good finding that whoever was told must know.
        if why := {name: text for name, text in finding.labels.items() if name in (NOT_THERE, ACCEPTED)}:
            incident = evolve(incident, labels={**incident.labels, **why})
        return _after_well(answer, incident, finding.for_runs, mark, now)
    fresh = Incident(
        id=0,
        key=finding.key,
        severity=finding.severity,
        outcome=finding.outcome,
        sentence=finding.sentence,
        observed=finding.observed[:80],
        threshold=finding.threshold[:200],
        labels=dict(finding.labels),
        links=dict(finding.links),
        query=finding.query,
        interval=finding.interval,
        opened_at=now,
        changed_at=now,
    )
    if answer is Answer.PENDING:
        fresh = _pending(fresh, *_lately(incident, mark, bad=True, most=finding.for_runs[1]))
    if incident is None:
        return fresh
    kept = ("id", "opened_at", "changed_at", "told_at", "muted", "acked_at", "acked_by", "acked_severity")
    same = evolve(fresh, **{name: getattr(incident, name) for name in kept})
    return same if _said(same) == _said(incident) else evolve(same, changed_at=now)


def _said(incident: Incident) -> Incident:
    """Return what of an incident is news when it changes; how many orgs there are is not."""
    return evolve(incident, labels={name: value for name, value in incident.labels.items() if name != ORGS})


def declared_labels(declared: Suite | Reconciliation | Dataset, part: Check | Stage | None = None) -> dict[str, str]:
    """Return the labels that a declaration gives to its findings: suite, check, owner, tags, notify and upstream.

    Args:
        declared: the suite, reconciliation or dataset.
        part: the check or stage; None: the whole, e.g. for an SLA.
    """
    check = part if isinstance(part, Check) else None
    labels = {"dataset" if isinstance(declared, Dataset) else "suite": declared.name}
    if part is not None:
        labels["check"] = part.name
    owner = (check.owner if check else None) or declared.owner
    if owner:
        labels["owner"] = owner
    if tags := {*declared.tags, *(check.tags if check else ())}:
        labels["tags"] = ",".join(sorted(tags))
    notify: dict[str, list[str]] = {}
    for wishes in (declared.notify, check.notify if check else {}):
        for severity, channels in wishes.items():
            words = notify.setdefault(severity, [])
            words += [word for word in channels if word not in words]
    if notify:
        labels[NOTIFY] = json.dumps(notify, sort_keys=True)
    if declared.upstream:
        labels[UPSTREAM] = json.dumps(sorted(set(declared.upstream)))
    return labels


def declared_links(
    declared: Suite | Reconciliation | Dataset, part: Check | Stage | None = None
) -> dict[str, str]:
    """Return the links that a declaration gives to its findings: the runbook."""
    runbook = (part.runbook if isinstance(part, Check) else None) or declared.runbook
    # Pagers make it a link to click on, so nothing else than a page of the web passes.
    return {"Runbook": runbook} if runbook and is_web(runbook) else {}


def news_of(run: Run, declared: Suite | Reconciliation, *, complete: bool = True) -> News:
    """Return what a run says about the incidents of its suite or reconciliation; the last table above.

    Args:
        run: with the results of all its scans.
        declared: what was run.
        complete: the file of ``declared`` loaded without error and the run is of all of it, so that a check which is
            no longer there has vanished. False: nothing vanishes.
    """
    kind: SubjectKind = "suite" if isinstance(declared, Suite) else "reconciliation"
    by_name: dict[str, Check | Stage] = {}
    renames: dict[str, str] = {}
    losses: set[str] = set()
    if isinstance(declared, Suite):
        by_name |= {check.name: check for check in declared.checks}
        renames |= {check.was: check.name for check in declared.checks if check.was and check.was not in by_name}
    else:
        by_name |= {stage.name: stage for stage in declared.compared}
        losses |= {known.name for known in declared.explained}
    bad_orgs = [r for r in run.results if r.group is not None and r.severity is not None]
    listed = Counter(r.check for r in bad_orgs)
    with_orgs = {(r.check, partition) for r in bad_orgs for partition in (r.partition, None)}
    looked_at = {summary.check: summary.orgs for summary in run.summaries}
    findings: list[Finding] = []
    measured: list[Measured] = []
    for result in run.results:
        if result.outcome is Outcome.SKIP and result.group is None:
            continue
        part = by_name.get(result.check)
        for_runs = _for_runs(declared, part)
        key = IncidentKey(run.environment, kind, run.suite, result.check, result.group.key if result.group else "")
        interval = result.partition or run.interval
        if result.group is None and _is_measured(result) and listed[result.check] >= (result.orgs_bad or 0):
            measured.append(Measured(result.check, interval, _newest(run, result), for_runs))
        if result.group is not None or _speaks(result, with_orgs):
            findings.append(
                Finding(
                    key=key,
                    interval=interval,
                    severity=result.severity,
                    outcome=result.outcome,
                    sentence=result.sentence,
                    observed="" if result.observed is None else str(result.observed),
                    threshold=result.threshold or "",
                    labels=declared_labels(declared, part)
                    | {"check": result.check}
                    | ({LOSS: "1"} if result.check in losses else {})
                    | _details(result)
                    | _org_labels(declared, part, result.group, looked_at.get(result.check)),
                    links=declared_links(declared, part),
                    query=((result.failing.query if result.failing else None) or "")[:LONGEST_QUERY],
                    for_runs=for_runs,
                )
            )
    return News(
        environment=run.environment,
        kind=kind,
        subject=run.suite,
        findings=tuple(findings),
        measured=tuple(measured),
        parts=frozenset(by_name) | {r.check for r in run.results} if complete else None,
        renames=renames,
        marks={r.check: f"{run.id} {r.at.isoformat()}" for r in run.results if r.at is not None},
    )


def _details(result: Result) -> dict[str, str]:
    detail = result.detail or {}
    return {label: str(detail[name]) for name, label in _TOLD_DETAILS.items() if detail.get(name)}


def _for_runs(declared: Suite | Reconciliation, part: Check | Stage | None) -> tuple[int, int]:
    own = part.for_runs if isinstance(part, Check) else None
    return read_for_runs(declared.for_runs if own is None else own)


def _org_labels(
    declared: Suite | Reconciliation, part: Check | Stage | None, group: Group | None, orgs: int | None
) -> dict[str, str]:
    if group is None:
        return {}
    by = declared.by if isinstance(declared, Reconciliation) else None
    if isinstance(declared, Suite) and isinstance(part, Check):
        by = declared.by_of(part)
    owner = by.owner(group) if by is not None else None
    told = {"org": group.label} | ({"owner": owner} if owner else {})
    return told if orgs is None else told | {ORGS: str(orgs)}


def _is_measured(summary: Result) -> bool:
    if summary.outcome in (Outcome.PASS, Outcome.FAIL):
        return True
    return summary.severity is not None and (summary.orgs or 0) > (summary.orgs_bad or 0)


def _speaks(summary: Result, with_orgs: Collection[tuple[str, Interval | None]]) -> bool:
    return (summary.check, summary.partition) not in with_orgs and (
        summary.outcome is Outcome.FAIL or not _is_measured(summary)
    )


def _newest(run: Run, summary: Result) -> datetime:
    """A reconciliation over several days judges each of them, so its newest partition is the last day."""
    day = timedelta(days=1)
    if summary.partition is not None:
        return summary.partition.start
    return max(run.interval.start, run.interval.end - day) if run.kind == "reconciliation" else run.interval.start


@frozen
class Folded:
    """What a close did to the incidents.

    Attributes:
        changes: the answers that changed something, in the order in which it happened.
        groups: the keys of the groups that the pump must look at.
    """

    changes: tuple[Change, ...]
    groups: frozenset[str]


def apply_findings(connection: Connection, news: Iterable[News], now: datetime) -> Folded:
    """Fold ``news`` into the stored incidents and mark what it touched, in the transaction of the caller.

    The row of the group is locked first, so two closes of one subject follow each other.

    Args:
        connection: in a transaction that the caller commits.
        news: of one or several subjects.
        now: the time of the close (aware).
    """
    made: list[Change] = []
    touched: set[str] = set()
    for item in sorted(news, key=lambda n: (n.environment, n.kind, n.subject)):
        group = lock_subject(connection, item.environment, item.kind, item.subject)
        changes = [change for change in fold(read_open(connection, _concerned(item)), item, now) if change.changes]
        if not changes:
            continue
        _write(connection, changes)
        made += changes
        connection.execute(
            alert_group.update().where(alert_group.c.group_key == group).values(dirty=alert_group.c.dirty + 1)
        )
        touched.add(group)
    return Folded(tuple(made), frozenset(touched))


def _concerned(news: News) -> ColumnElement[bool]:
    """Return which incidents ``news`` may change: of a thousand that are open, one finding reads one."""
    mine = of_subject(news.environment, news.kind, news.subject)
    if news.parts is not None or news.measured or news.renames or len(news.findings) > _FEW:
        return mine
    return mine & incident_table.c.open_key.in_([open_key(finding.key) for finding in news.findings])


def lock_subject(connection: Connection, environment: str, kind: SubjectKind, subject: str) -> str:
    """Lock the group of a subject until the transaction ends, and return its key: what is open of it stays so."""
    group = group_key(IncidentKey(environment, kind, subject, ""))
    names = {"environment": environment, "kind": kind, "subject": subject}
    insert_or_lock(connection, alert_group, {"group_key": group, **names})
    return group


def _write(connection: Connection, changes: Iterable[Change]) -> None:
    stored: dict[int, Incident] = {}
    new: list[Incident] = []
    place: dict[IncidentKey, int] = {}
    for change in changes:
        after = change.after
        if after is None:
            continue
        if after.id:
            stored[after.id] = after
        elif change.before is None:
            place[after.key] = len(new)
            new.append(after)
        else:
            new[place[after.key]] = after
    # Those that end go first: they free the key of one that opens.
    updates: list[dict[str, Any]] = sorted(
        ({"_id": id_, **to_row(incident)} for id_, incident in stored.items()),
        key=lambda row: row["open_key"] is not None,
    )
    if updates:
        names = [name for name in updates[0] if name != "_id"]
        statement = incident_table.update().where(incident_table.c.id == bindparam("_id"))
        connection.execute(statement.values({name: bindparam(name) for name in names}), updates)
    if new:
        connection.execute(plain_insert(incident_table), [to_row(incident) for incident in new])
