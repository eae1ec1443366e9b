"""The composition root: the only part that knows measuring, alerting, reports and SLAs together.

It sets the bounds of transactions. A scan commits its results; a close folds them into incidents, judges the SLA and
decides on the report in one transaction; the pump speaks to the world outside of any. Faces call what is named here.

    session    the project, the clock, the store's transactions, the datasources
    measuring  run, scan, reconcile
    comparing  compare_keys: which records a stage lacks
    closing    due, close, gate, pump
    watching   Watcher: a round of looking, judging and telling from outside of Airflow; looking: what it sees
    keeping    what is due, late and kept; known outages; whether a dataset is there
    overdue    sla_check; promise, observe, open_promises: what DAG runs promise, and what is seen
    telling    deliver: what was decided leaves
    mailing    report, report_csv, send_report: the discrepancy e-mail
    accepting  accept, accepted, end_acceptance: discrepancies that somebody is content with
    alerting   what is open; silences, acknowledgements; outbox: what is not delivered
    deploying  mark, marked, mark_tags: what was changed, and when
    announcing what is told once, to channels by name: announce; digesting: digest, how the environment stands
    trending   what is new of a reconciliation since the last report, and its last two weeks
    routes     which routes take an incident, and why; proving: whether each of them fires
    noticing   what a scheduler says of its tasks and runs: notice, tell_ended
    asking     whether the data of a run are there
    reading    runs, latest_run, run_of, why_not_good, ledger
    functions  judge_answer: what a function of the user measured
    recording  record_reference, references; backtesting
    attributing why: what became of the records that differ
    linting, migrating, explaining, diagnosing, suggesting, selfchecking
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dq.checks.plan import scan_ids as scans
from dq.lazy import lazy

if TYPE_CHECKING:
    from dq.app.accepting import accept, accepted, end_acceptance
    from dq.app.alerting import (
        Alert,
        acknowledge,
        alerts,
        expire_silences,
        silence,
        silenced,
        unacknowledge,
    )
    from dq.app.announcing import announce
    from dq.app.asking import holds
    from dq.app.attributing import why
    from dq.app.backtesting import backtests
    from dq.app.closing import close, due, gate, pump
    from dq.app.comparing import compare_keys
    from dq.app.deploying import mark, mark_tags, marked
    from dq.app.diagnosing import Finding, doctor, doctor_of
    from dq.app.digesting import digest, digest_report
    from dq.app.explaining import Statement, explain
    from dq.app.functions import judge_answer
    from dq.app.keeping import (
        DatasetStatus,
        Standing,
        attained,
        dataset_status,
        excuse,
        excused,
        kept,
        promised_names,
        standings,
        take_back,
        unjudged,
        watchers_of,
    )
    from dq.app.linting import Problem, lint
    from dq.app.mailing import render_ledger, report, report_csv, send_report
    from dq.app.measuring import partitions, reconcile, run, scan
    from dq.app.migrating import DagFiles, lint_airflow
    from dq.app.noticing import notice, tell_ended
    from dq.app.outbox import give_up, retry_now, waiting
    from dq.app.overdue import observe, open_promises, promise, sla_check
    from dq.app.proving import Proof, channel_types, selftest
    from dq.app.reading import latest_run, ledger, run_of, runs, why_not_good
    from dq.app.recording import record_reference, reference, references, remove_reference
    from dq.app.refusing import refuse_bad_sql, sql_problems
    from dq.app.routes import Explained, explain_routes
    from dq.app.selfchecking import selfcheck
    from dq.app.session import judgement_time, open_project, upgrade
    from dq.app.suggesting import Suggestion, suggest
    from dq.app.watching import Round, Watcher

__all__ = [
    "Alert",
    "DagFiles",
    "DatasetStatus",
    "Explained",
    "Finding",
    "Problem",
    "Proof",
    "Round",
    "Standing",
    "Statement",
    "Suggestion",
    "Watcher",
    "accept",
    "accepted",
    "acknowledge",
    "alerts",
    "announce",
    "attained",
    "backtests",
    "channel_types",
    "close",
    "compare_keys",
    "dataset_status",
    "digest",
    "digest_report",
    "doctor",
    "doctor_of",
    "due",
    "end_acceptance",
    "excuse",
    "excused",
    "expire_silences",
    "explain",
    "explain_routes",
    "gate",
    "give_up",
    "holds",
    "judge_answer",
    "judgement_time",
    "kept",
    "latest_run",
    "ledger",
    "lint",
    "lint_airflow",
    "mark",
    "mark_tags",
    "marked",
    "notice",
    "observe",
    "open_project",
    "open_promises",
    "partitions",
    "promise",
    "promised_names",
    "pump",
    "reconcile",
    "record_reference",
    "reference",
    "references",
    "refuse_bad_sql",
    "remove_reference",
    "render_ledger",
    "report",
    "report_csv",
    "retry_now",
    "run",
    "run_of",
    "runs",
    "scan",
    "scans",
    "selfcheck",
    "selftest",
    "send_report",
    "silence",
    "silenced",
    "sla_check",
    "sql_problems",
    "standings",
    "suggest",
    "take_back",
    "tell_ended",
    "unacknowledge",
    "unjudged",
    "upgrade",
    "waiting",
    "watchers_of",
    "why",
    "why_not_good",
]

# A command loads what it needs: the whole of it takes as long as to check a small table.
__getattr__ = lazy(
    __name__,
    {
        "accepting": ("accept", "accepted", "end_acceptance"),
        "alerting": (
            "Alert",
            "acknowledge",
            "alerts",
            "expire_silences",
            "silence",
            "silenced",
            "unacknowledge",
        ),
        "announcing": ("announce",),
        "asking": ("holds",),
        "attributing": ("why",),
        "backtesting": ("backtests",),
        "closing": ("close", "due", "gate", "pump"),
        "comparing": ("compare_keys",),
        "deploying": ("mark", "mark_tags", "marked"),
        "diagnosing": ("Finding", "doctor", "doctor_of"),
        "digesting": ("digest", "digest_report"),
        "explaining": ("Statement", "explain"),
        "functions": ("judge_answer",),
        "keeping": (
            "DatasetStatus",
            "Standing",
            "attained",
            "dataset_status",
            "excuse",
            "excused",
            "kept",
            "promised_names",
            "standings",
            "take_back",
            "unjudged",
            "watchers_of",
        ),
        "linting": ("Problem", "lint"),
        "mailing": ("render_ledger", "report", "report_csv", "send_report"),
        "measuring": ("partitions", "reconcile", "run", "scan"),
        "migrating": ("DagFiles", "lint_airflow"),
        "noticing": ("notice", "tell_ended"),
        "outbox": ("give_up", "retry_now", "waiting"),
        "overdue": ("observe", "open_promises", "promise", "sla_check"),
        "proving": ("Proof", "channel_types", "selftest"),
        "reading": ("latest_run", "ledger", "run_of", "runs", "why_not_good"),
        "recording": ("record_reference", "reference", "references", "remove_reference"),
        "refusing": ("refuse_bad_sql", "sql_problems"),
        "routes": ("Explained", "explain_routes"),
        "selfchecking": ("selfcheck",),
        "session": ("judgement_time", "open_project", "upgrade"),
        "suggesting": ("Suggestion", "suggest"),
        "watching": ("Round", "Watcher"),
    },
)
