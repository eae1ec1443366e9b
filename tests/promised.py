"""What came of the promises of a made-up team: seven datasets, ninety days, one outage that is excused."""

import random
from datetime import UTC, datetime, timedelta

from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.reports.attainment import Attained
from dq.sla.budget import budgets

NOW = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)
DAY = timedelta(days=1)
_CAUSES = (
    "task load_raw failed twice: could not connect to the warehouse",
    "run was created 50m late: the scheduler was busy",
    "waits for the upstream dataset crm.accounts since 04:10",
    "task transform still running",
)
_OUTAGE = (datetime(2026, 11, 7, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC), "Move of the warehouse to eu-west")
# name, owner, promise, length of a partition, due after its end, chances of late, missing and wrong
_TEAM = (
    ("finance.invoices", "billing", Sla(due="06:00", on_time="95%", correct="95%"), DAY, 6, (0.09, 0.02, 0.05)),
    ("sales.orders", "shop", Sla(due="06:30", on_time="90%", correct="99%"), DAY, 6.5, (0.05, 0, 0)),
    ("web.clicks", "shop", Sla(every="15m", on_time="99%"), timedelta(minutes=15), 0.25, (0.001, 0, 0)),
    ("crm.accounts", "growth", Sla(due="05:00", on_time="90%"), DAY, 5, (0.02, 0, 0)),
    ("ml.churn_features", "growth", Sla(within="4h", on_time="80%"), DAY, 4, (0.1, 0.03, 0.02)),
    ("stock.levels", "logistics", Sla(due="07:00", calendar="weekdays", on_time="95%"), DAY, 7, (0, 0, 0)),
    ("shipments.tracking", "", Sla(every="1h"), timedelta(hours=1), 1, (0.004, 0, 0.001)),
)


def kept(subject, owner, length, after, chances, rng, sla=None):
    """Return what came of the promises of one dataset in ninety days, and of the next."""
    made = []
    interval = Interval(NOW.replace(hour=0, minute=0) - 91 * DAY, NOW.replace(hour=0, minute=0) - 91 * DAY + length)
    while (due := interval.end + timedelta(hours=after)) < NOW + length:
        if sla is None or sla.promises(interval):
            made.append(_one(subject, owner, interval, due, chances, rng))
        interval = Interval(interval.end, interval.end + length)
    return made


def _one(subject, owner, interval, due, chances, rng):
    late, missing, wrong = chances
    roll, is_wrong, minutes = rng.random(), rng.random() < wrong, rng.choice((12, 35, 50, 95, 140, 310))
    more = {"wrong": is_wrong, "answer": Answer.DATA_WRONG if is_wrong else Answer.ON_TIME, "arrived_at": due}
    if due > NOW:
        more = {"answer": Answer.PENDING}
    elif _OUTAGE[0] <= due < _OUTAGE[1]:
        more = {"answer": Answer.EXCUSED, "excuse": _OUTAGE[2]}
    elif roll < late:
        late_by = timedelta(minutes=minutes)
        more |= {"answer": Answer.MET_AFTER_MISS, "late": late_by, "arrived_at": due + late_by}
        more |= {"cause": rng.choice(_CAUSES[:3]), "severity": Severity.ERROR}
    elif subject == "crm.accounts" and due > NOW - 3 * DAY and due.day in {18, 20}:
        more |= {"answer": Answer.MET_AFTER_MISS, "late": timedelta(minutes=95), "cause": _CAUSES[0]}
    elif roll < late + missing and due < NOW - DAY:
        more |= {"answer": Answer.MET_AFTER_MISS, "late": 20 * timedelta(minutes=minutes), "cause": _CAUSES[2]}
    elif roll < late + missing or (subject == "finance.invoices" and due > NOW - DAY):
        more = {"answer": Answer.LATE_RUNNING, "late": NOW - due, "cause": _CAUSES[3], "severity": Severity.CRITICAL}
    return Kept(kind="suite", subject=subject, part=str(interval), interval=interval, due_at=due, owner=owner, **more)


def team(seed=23):
    """Return what was attained of each dataset."""
    rng = random.Random(seed)
    made = []
    for name, owner, sla, length, after, chances in _TEAM:
        there = kept(name, owner, length, after, chances, rng, sla)
        promise = ", ".join(filter(None, (str(sla), sla.consequences.partition("critical, ")[2])))
        left = budgets(there, sla, NOW, length)
        made.append(Attained(subject=name, owner=owner, promise=promise, kept=tuple(there), budgets=left))
    return made
