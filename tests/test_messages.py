"""What a person on call reads first: titles and facts, by kind and outcome."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from attrs import evolve

from dq.alerting.messages import episode, firing, resolved, undelivered
from dq.model.incident import Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity

START = datetime(2026, 11, 20, 6, tzinfo=UTC)
END = START + timedelta(hours=3, minutes=40)

IDS: defaultdict[tuple[str, str], int] = defaultdict(count(101).__next__)
"""The ids of what is made, in this order, as the store gives them."""


def incident(
    kind: str, part: str, outcome: str = "fail", org: str = "", severity: int = 3, *, over: str | None = None
) -> Incident:
    return Incident(
        id=IDS[part, org],
        key=IncidentKey("ep_stage", kind, "covid", part, org and f'["{org}"]'),  # type: ignore[arg-type]  # a literal by another way
        severity=Severity(severity),
        outcome=Outcome(outcome),
        sentence="74 of 340 missing (21.8%)",
        observed="74",
        threshold="1%",
        labels={"owner": "data", **({"org": org} if org else {})},
        links={"Runbook": "https://wiki/covid"},
        interval=Interval.of_day("2026-11-19"),
        opened_at=START,
        changed_at=START,
        ended_at=END if over else None,
        ended=over,  # type: ignore[arg-type]  # a literal by another way
    )


def budget(part: str, observed: str = "spent", *, over: str | None = None) -> Incident:
    made = incident("sla", f"budget: {part}", over=over)
    return evolve(made, observed=observed, labels={**made.labels, "_budget": "1"})


def unwatched(part: str, *, over: str | None = None) -> Incident:
    made = incident("watch", part, over=over)
    return evolve(made, key=evolve(made.key, subject="declarations"))


def not_there(part: str, answer: str) -> Incident:
    ended = incident("sla", part, over="recovered")
    return evolve(ended, labels={**ended.labels, "_not_there": answer})


def lost(part: str, count: str, sample: str) -> Incident:
    found = incident("reconciliation", part)
    return evolve(found, observed=count, labels={**found.labels, "_loss": "1", "_sample": sample})


@pytest.mark.parametrize(
    ("incidents", "what"),
    [
        ([incident("suite", "amount")], "amount fails"),
        ([incident("suite", "amount", "unmeasured")], "amount could not be measured"),
        ([incident("suite", "amount", "no_data", org="14")], "amount has no data for org 14"),
        ([incident("suite", "a"), incident("suite", "b")], "2 checks fail"),
        (
            [incident("suite", "a"), incident("suite", "b", "unmeasured"), incident("suite", "c")],
            "2 checks fail, 1 check could not be measured",
        ),
        (
            [incident("reconciliation", "DB", org="1"), incident("reconciliation", "DB", org="2")],
            "Completed with High Discrepancies: DB differs for 2 orgs",
        ),
        (
            [incident("reconciliation", "DB"), incident("reconciliation", "NRT")],
            "Completed with High Discrepancies: 2 stages differ",
        ),
        (
            [incident("reconciliation", "DB", org="1", severity=2)],
            "Completed with Discrepancies: DB differs for org 1",
        ),
        (
            [incident("reconciliation", "DB", org="1"), incident("reconciliation", "NRT", "unmeasured")],
            "1 stage differs, 1 stage could not be measured",
        ),
        (
            [incident("reconciliation", "DB", org="1"), incident("reconciliation", "DB", "no_data", org="2")],
            "Completed with High Discrepancies: DB differs for 2 orgs",
        ),
        ([lost("DLQs", "1", "ValueError: no such country")], "completed with 1 DLQs: ValueError: no such country"),
        ([lost("DLQs", "3", ""), lost("skipped", "9", "x\n\u202ey")], "completed with 3 DLQs; 9 skipped: x \u202ey"),
        (
            [incident("reconciliation", "DB", org="1"), lost("DLQs", "1", "a" * 200)],
            f"Completed with High Discrepancies: DB differs for org 1; 1 DLQs: {'a' * 119}…",
        ),
        ([incident("sla", "2026-11-19")], "2026-11-19 is late"),
        ([incident("sla", f"2026-11-{day}") for day in range(10, 15)], "5 partitions are late"),
        ([budget("in time")], "budget: in time is spent"),
        ([budget("in time"), budget("correct", "fast burn")], "1 error budget is spent, 1 error budget burns too fast"),
        ([incident("sla", "2026-11-19"), budget("in time")], "1 partition is late, 1 error budget is spent"),
    ],
)
def test_a_title_says_where_and_what(incidents: list[Incident], what: str) -> None:
    message = firing("k", incidents, {}, END)
    assert message.title == f"EP_STAGE - covid: {what}"
    assert (message.status, message.key, message.environment, message.since) == ("firing", "k", "ep_stage", START)


def test_what_cannot_be_watched_is_no_channel() -> None:
    one, two = unwatched("checks/orders.py"), unwatched("checks/users.py")
    assert firing("k", [one], {}, START).title.endswith("declarations: checks/orders.py cannot be watched")
    assert firing("k", [one, two], {}, START).title.endswith("declarations: 2 declarations cannot be watched")
    assert firing("k", [one, two], {}, START).columns[0] == "Declaration"
    assert firing("k", [incident("watch", "team")], {}, START).title.endswith("team takes no messages")


def test_facts_come_in_the_order_of_the_questions() -> None:
    on_it = {"acked_at": START, "acked_by": "ada", "acked_severity": Severity.CRITICAL}
    now = evolve(incident("suite", "amount", org="14", severity=4), query="SELECT 1", **on_it)
    message = firing(
        "k", [now], {1: 3}, END, gone=[incident("suite", "b", over="recovered")], escalated=timedelta(minutes=15)
    )
    assert message.query == "SELECT 1"
    assert message.facts == (
        ("Since", "2026-11-20 06:00 UTC (3h40m)"),
        ("Partition", "2026-11-19"),
        ("Observed", "74 (threshold 1%)"),
        ("Orgs", "14"),
        ("Changed", "1 new: amount (org 14); 1 recovered: b"),
        ("Escalated", "nobody acknowledged within 15m"),
        ("Owner", "data"),
        ("Acknowledged by", "ada, 2026-11-20 06:00 UTC"),
    )
    assert message.summary == "amount, org 14: 74 of 340 missing (21.8%)."
    assert message.columns == ("Check", "Org", "Severity", "Finding")
    assert message.rows == (("amount", "14", "critical", "74 of 340 missing (21.8%)"),)
    assert message.links == (("Runbook", "https://wiki/covid"),)


@pytest.mark.parametrize(
    ("incidents", "what"),
    [
        ([incident("suite", "amount", over="recovered")], "amount is well again after 3h40m"),
        ([incident("suite", "amount", over="vanished")], "no longer declared"),
        (
            [incident("suite", "a", over="recovered"), incident("suite", "b", over="recovered")],
            "2 checks are well again after 3h40m",
        ),
        ([incident("sla", "2026-11-19", over="recovered")], "2026-11-19 has arrived after 3h40m"),
        ([not_there("2026-11-19", "excused")], "2026-11-19 is excused after 3h40m"),
        ([not_there("2026-11-19", "pending")], "2026-11-19 is no longer at risk after 3h40m"),
        (
            [not_there("2026-11-18", "excused"), not_there("2026-11-19", "excused")],
            "2 partitions are excused after 3h40m",
        ),
        (
            [not_there("2026-11-18", "excused"), incident("sla", "2026-11-19", over="recovered")],
            "2 partitions are well again after 3h40m",
        ),
        (
            [incident("suite", "a", over="recovered"), incident("suite", "b", severity=2)],
            "no longer told here, still warning",
        ),
        ([], "well again after 3h40m"),
    ],
)
def test_what_recovered_and_how_long_it_lasted(incidents: list[Incident], what: str) -> None:
    before = firing("k", [incident("suite", "amount", severity=4)], {}, START)
    message = resolved(before, incidents, Severity.CRITICAL, END)
    assert message.title == f"EP_STAGE - covid: {what}"
    assert (message.status, message.key, message.severity) == ("resolved", "k", Severity.CRITICAL)


def test_an_episode_and_a_dead_letter_are_events() -> None:
    told = episode("k", [incident("suite", "amount", over="recovered")], END)
    letter = undelivered(firing("k", [incident("suite", "amount")], {}, END), "oncall", "HTTP 403", dead=True, at=END)
    assert told.status == letter.status == "event"
    assert told.title == "EP_STAGE - covid: bad 2026-11-20 06:00 UTC to 2026-11-20 09:40 UTC, recovered"
    assert letter.title == "EP_STAGE - oncall could not be told: covid: amount fails"
    assert letter.summary.startswith("oncall could not be told this firing message (HTTP 403). amount: 74 of 340")


def test_a_storm_of_all_orgs_says_so() -> None:
    def of(orgs: int, looked_at: str) -> str:
        found = [incident("suite", "amount", org=str(n)) for n in range(orgs)]
        some = [evolve(one, labels={**one.labels, "_orgs": looked_at}) for one in found]
        return firing("k", some, {}, END).title.removeprefix("EP_STAGE - covid: amount fails for ")

    assert (of(500, "500"), of(12, "500"), of(1, "500"), of(1, "1")) == (
        "all 500 orgs",
        "12 orgs of 500",
        "org 0",
        "org 0",
    )
    message = firing("k", [incident("suite", "amount", org=str(n)) for n in range(500)], {}, END)
    assert (len(message.rows), message.omitted) == (10, 490)
    assert dict(message.facts)["Orgs"].endswith(" and 490 others")


def test_what_changed_names_some_and_counts_the_others() -> None:
    found = [incident("suite", f"c{n}") for n in range(9)]
    told = {i.id: 3 for i in found[:2]}
    worse = [evolve(found[0], severity=Severity.CRITICAL), *found[1:]]
    changed = dict(firing("k", worse, told, END, passed=[incident("suite", "gone")]).facts)["Changed"]
    assert changed == "7 new: c2, c3, c4, c5, c6 and 2 others; 1 worse: c0; 1 came and went: gone"
