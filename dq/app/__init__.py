"""The composition root: the only part that knows measuring, alerting, reports and SLAs together.

It sets the bounds of transactions. A scan commits its results; a close folds them into incidents, judges the SLA and
decides on the report in one transaction; the pump speaks to the world outside of any. Faces call what is named here.

    session    the project, the clock, the store's transactions, the datasources
    measuring  run, scan, reconcile
    closing    due, close, gate, sla_check, pump
    telling    deliver, send_report
    reading    runs, latest_run, ledger, report
    recording  record_reference, references; backtesting
    linting, explaining, diagnosing, suggesting, selfchecking
"""

from dq.app.backtesting import backtests
from dq.app.closing import close, due, gate, pump, sla_check
from dq.app.diagnosing import Finding, doctor
from dq.app.explaining import Statement, explain
from dq.app.linting import Problem, lint, refuse_bad_sql, sql_problems
from dq.app.measuring import partitions, reconcile, run, scan
from dq.app.reading import latest_run, ledger, render_ledger, report, runs
from dq.app.recording import record_reference, reference, references, remove_reference
from dq.app.selfchecking import selfcheck
from dq.app.session import judgement_time, open_project, upgrade
from dq.app.suggesting import Suggestion, suggest
from dq.app.telling import send_report
from dq.checks.plan import scan_ids as scans

__all__ = [
    "Finding",
    "Problem",
    "Statement",
    "Suggestion",
    "backtests",
    "close",
    "doctor",
    "due",
    "explain",
    "gate",
    "judgement_time",
    "latest_run",
    "ledger",
    "lint",
    "open_project",
    "partitions",
    "pump",
    "reconcile",
    "record_reference",
    "reference",
    "references",
    "refuse_bad_sql",
    "remove_reference",
    "render_ledger",
    "report",
    "run",
    "runs",
    "scan",
    "scans",
    "selfcheck",
    "send_report",
    "sla_check",
    "sql_problems",
    "suggest",
    "upgrade",
]
