"""What the demo promises, and whether it happened: judged by what the receivers got, never by dq's own store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import frozen

from tests.demo.play import Act, Evidence, page
from tests.demo.warehouse import agari

STAGES = ("collector_msgs", "agg_msgs", "db_msgs", "nrt_db_msgs", "skipped")

LEDGER, CHECKS = "covid_ledger", "covid_regions"
WRONG_KEY = f"dev/reconciliation/{LEDGER}"
LATE_KEYS = (f"dev/sla/{CHECKS}", f"dev/sla/{LEDGER}")
PASSED = "success"


@frozen
class Promise:
    """One promise of the demo.

    Attributes:
        name: in one word.
        sentence: what is promised.
        problems: yields a sentence for each way in which it was not kept.
    """

    name: str
    sentence: str
    problems: Callable[[Evidence], Iterator[str]]


def dags(seen: Evidence) -> Iterator[str]:
    """Each task of both DAGs came to the state that it should."""
    group = ("should_run", "scan", "scan_by_region_name", "close", "gate")
    checks = {"load": PASSED, **{f"{CHECKS}.{task}": PASSED for task in group}, "publish": PASSED}
    stages = {f"{LEDGER}.{task}": PASSED for task in ("should_run", "stages", "close", "gate")}
    for name, act in seen.acts.items():
        expected = checks | {"publish": "skipped"} if name == "late" else checks
        for dag, tasks in (("daily_checks", expected), ("daily_discrepancy", stages)):
            run = act.runs[dag]
            if run["state"] != PASSED:
                yield f"{dag} of {name}: the DAG run is {run['state']}"
            for task in {**tasks, **run["tasks"]}:
                if (is_now := run["tasks"].get(task)) != (should := tasks.get(task)):
                    yield f"{dag} of {name}: {task} is {is_now}, not {should}"


def wrong_mail(seen: Evidence) -> Iterator[str]:
    """The e-mail about the wrong day says what is wrong."""
    yield from _mail(seen.acts["wrong"], ("dev", "covid regions", "2024-06-26", "critical"), ("P.A. Trento", "253558"))


def mended_mail(seen: Evidence) -> Iterator[str]:
    """The e-mail after the mending says that all is well, and does not forget the older day."""
    subject = ("dev", "covid regions", "2024-06-27", "all 21 orgs agree")
    yield from _mail(seen.acts["mended"], subject, ("P.A. Trento", "2024-06-26"))


def _mail(act: Act, subject: tuple[str, ...], body: tuple[str, ...]) -> Iterator[str]:
    mails = act.of("smtp")
    if len(mails) != 1:
        yield f"{len(mails)} e-mails arrived, not one"
    for mail in mails:
        html = page(mail.content)
        yield from (f"the subject does not say {text!r}" for text in subject if text not in mail.content["Subject"])
        yield from (f"the page does not say {text!r}" for text in body if text not in html)


def slack(seen: Evidence) -> Iterator[str]:
    """Slack was told of the wrong day and the late day, and that both recovered."""
    texts = {name: [str(post.content["text"]) for post in act.of("slack")] for name, act in seen.acts.items()}
    for scene, what, words in (
        ("wrong", "wrong data", (LEDGER, "P.A. Trento", "253558")),
        ("late", f"late data of {CHECKS}", (CHECKS, "is late")),
        ("late", f"late data of {LEDGER}", (LEDGER, "is late")),
        ("mended", "the end of the discrepancy", (LEDGER, "resolved", "provinces")),
        ("mended", f"the end of the lateness of {CHECKS}", (CHECKS, "resolved", "is late")),
        ("mended", f"the end of the lateness of {LEDGER}", (LEDGER, "resolved", "is late")),
    ):
        if not any(all(word in text for word in words) for text in texts[scene]):
            yield f"nothing about {what} in scene {scene}"


def pagerduty(seen: Evidence) -> Iterator[str]:
    """PagerDuty was triggered for both, and resolved once per key."""
    yield from _pager(seen, "pagerduty", "dedup_key", "event_action", "trigger", "resolve")


def victorops(seen: Evidence) -> Iterator[str]:
    """VictorOps was told CRITICAL for both, and RECOVERY once per key."""
    yield from _pager(seen, "victorops", "entity_id", "message_type", "CRITICAL", "RECOVERY")


def _pager(seen: Evidence, channel: str, key_field: str, action_field: str, opening: str, ending: str) -> Iterator[str]:
    said = {
        name: {(event.content[action_field], event.content[key_field]) for event in act.of(channel)}
        for name, act in seen.acts.items()
    }
    for scene, action, keys in (
        ("wrong", opening, (WRONG_KEY,)),
        ("late", opening, LATE_KEYS),
        ("mended", ending, (WRONG_KEY, *LATE_KEYS)),
    ):
        yield from (f"no {action} of {key} in scene {scene}" for key in keys if (action, key) not in said[scene])
    for key, alert in seen.alerts[channel].items():
        if (alert["opens"], alert["resolves"], alert["orphans"]) != (1, 1, 0):
            yield f"{key} was opened {alert['opens']} times and resolved {alert['resolves'] + alert['orphans']} times"
        if alert["open"]:
            yield f"{key} is still open"


def callback(seen: Evidence) -> Iterator[str]:
    """The project's own function was called, once, with the missed SLA."""
    told = [line for line in seen.misses if line.startswith("daily_checks: partition 2024-06-27 ")]
    if len(told) != 1 or len(seen.misses) != 1:
        yield f"of {len(seen.misses)} calls {len(told)} are about daily_checks and partition 2024-06-27, not one of one"


def report(seen: Evidence) -> Iterator[str]:
    """The published report was computed again, number by number."""
    html, code = seen.report
    if code != 1:
        yield f"dq reconcile ended with {code}, not 1: most orgs lack near-real-time messages"
    yield from (f"the page does not say {total}" for total in ("22058", "261254") if total not in html)
    rows = _numbers(html)
    yield from (f"the page has no row {' '.join(row)}" for row in _published() if row not in rows)


def _published() -> Iterator[tuple[str, ...]]:
    """Yield the rows of the published report, in the order of its columns."""
    for org in agari():
        collector, aggregate, database, nrt, skipped = (int(org[name]) for name in STAGES)
        lost, nrt_lost = collector - database - skipped, collector - nrt - skipped
        told = (
            collector,
            aggregate,
            database,
            lost,
            _percent(lost, collector),
            nrt,
            nrt_lost,
            _percent(nrt_lost, collector),
        )
        yield org["org_id"], *map(str, told), str(skipped)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}"


def _numbers(html: str) -> list[tuple[str, ...]]:
    """Return the numbers in each row of the tables of a page."""
    rows = [re.split(r"<[^>]*>", row) for row in html.split("<tr")]
    return [tuple(text.strip() for text in row if re.fullmatch(r"\s*-?[\d.]+\s*", text)) for row in rows]


PROMISES = (
    Promise("dags", "Both DAGs ran on Airflow, and the gate skipped publish while there was no data", dags),
    Promise("wrong mail", "The e-mail of 2024-06-26 names P.A. Trento and its 253558 missing cases", wrong_mail),
    Promise(
        "mended mail",
        "The e-mail of 2024-06-27 says that all 21 regions agree, and that 2024-06-26 is still wrong",
        mended_mail,
    ),
    Promise("slack", "Slack was told: wrong, late, and that both recovered", slack),
    Promise(
        "pagerduty", "PagerDuty was triggered for wrong and late, and each key resolved once; none is open", pagerduty
    ),
    Promise(
        "victorops", "VictorOps was alerted of wrong and late, and each key recovered once; none is open", victorops
    ),
    Promise("callback", "The project's own sla_miss_callback was called, once", callback),
    Promise(
        "report", "The published report of 2016-04-28 was computed again: all ten orgs, to the last message", report
    ),
)


def broken(seen: Evidence) -> dict[str, tuple[str, ...]]:
    """Return, per promise that was not kept, what is wrong."""
    found = {promise.name: tuple(promise.problems(seen)) for promise in PROMISES}
    return {name: problems for name, problems in found.items() if problems}
