"""Something that is not well, from the first bad result to recovery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import frozen

from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity

EARLY = "_early"
"""The label of what may still come in time: it is told, and never to a pager."""

NOT_THERE = "_not_there"
"""The label of a promise of which nobody is told any more though nothing arrived: its answer, excused or pending."""

ACCEPTED = "_accepted"
"""The label of what ended though it still differs, because somebody accepts that: what is accepted, in words."""

LOSS = "_loss"
"""The label of what is about a known loss of a reconciliation, and no stage."""

SAMPLE = "_sample"
"""The label of what one of the records of a known loss says, e.g. the text of an exception."""

BUDGET = "_budget"
"""The label of what is about an error budget, and no partition."""

UNWATCHED = "declarations"
"""The subject, of kind ``watch``, of declarations of which ``dq watch`` can judge nothing."""

SubjectKind = Literal["suite", "reconciliation", "sla", "dag", "airflow", "watch"]
Ended = Literal["recovered", "vanished", "recovered_untold"]


@frozen(order=True)
class IncidentKey:
    """What an incident is about; there is at most one open incident per key.

    Attributes:
        environment: e.g. ``prod``; so stage never pages for prod.
        kind: ``suite``, ``reconciliation``, ``sla``, ``dag``, ``airflow`` or ``watch``.
        subject: the name of the suite, reconciliation, dataset or Airflow, the id of the DAG, or what ``dq watch``
            watches of dq itself.
        part: the check, the stage, the partition of an SLA, the task of a DAG, or the part of an Airflow.
        org: the key of the org (``Group.key``), ``""`` for the whole.
    """

    environment: str
    kind: SubjectKind
    subject: str
    part: str
    org: str = ""

    @property
    def group(self) -> str:
        """The default group, ``environment/kind/subject``: one page for a suite, whatever the number of orgs.

        It is the pagers' dedup key (at most 255 characters for PagerDuty), so it never changes while an incident is
        open.
        """
        return f"{self.environment}/{self.kind}/{self.subject}"


@frozen(kw_only=True)
class Finding:
    """One thing that a run says about one incident key: bad, or well again. The input of ``fold``.

    Attributes:
        key: which incident it speaks about.
        interval: the partition that was measured.
        severity: how bad; None: it is well.
        outcome: why.
        sentence: what was found, for people.
        observed, threshold: the number and the rung, for people.
        labels: what routes match on: suite, check, org, severity, owner, environment, kind, tags.
        links: runbook and the like, by text.
        query: the statement that lists what is wrong; empty where there is none.
        for_runs: people are told once it was bad in so many of its last so many runs.
    """

    key: IncidentKey
    interval: Interval
    severity: Severity | None
    outcome: Outcome
    sentence: str
    observed: str = ""
    threshold: str = ""
    labels: Mapping[str, str] = {}
    links: Mapping[str, str] = {}
    query: str = ""
    for_runs: tuple[int, int] = (1, 1)


@frozen(kw_only=True)
class Incident:
    """The stored state of one incident; it carries all that a message needs.

    Attributes:
        id: unique in the store.
        key: what it is about.
        severity: how bad it is now.
        outcome, sentence, observed, threshold, labels, links, query: from the newest bad finding.
        interval: the newest bad partition.
        opened_at: when the first bad finding was folded in.
        changed_at: when it last changed.
        ended_at: when it ended; None while it is open.
        ended: how it ended.
        told_at: when a channel was first told, or tried; None: nobody knows of it yet.
        muted: what keeps it from being told, as the pump last saw it; None: nothing does.
        pending: the last runs, oldest first, ``1`` bad and ``0`` well, of one that was bad too seldom to be told; None:
            it is told.
        acked_at: when somebody said that they are on it; None: nobody did.
        acked_by: who.
        acked_severity: how bad it was then.
    """

    id: int
    key: IncidentKey
    severity: Severity
    outcome: Outcome
    sentence: str
    observed: str
    threshold: str
    labels: Mapping[str, str]
    links: Mapping[str, str]
    interval: Interval
    opened_at: datetime
    changed_at: datetime
    ended_at: datetime | None = None
    ended: Ended | None = None
    query: str = ""
    told_at: datetime | None = None
    muted: str | None = None
    pending: str | None = None
    acked_at: datetime | None = None
    acked_by: str | None = None
    acked_severity: Severity | None = None

    @property
    def acked(self) -> bool:
        """Whether somebody is on it as bad as it is now: a worse state needs a new acknowledgement."""
        return self.acked_at is not None and self.acked_severity is not None and self.severity <= self.acked_severity
