"""The state of promises as Prometheus reads it. Pure.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from dq.model.kept import Kept

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def metrics(
    environment: str,
    at: datetime,
    seconds: float,
    waiting: Iterable[Kept],
    parts: Iterable[tuple[str, str, bool]],
    undelivered: int,
) -> str:
    """Return the text of a file of metrics.

    Args:
        environment: the label of all of them.
        at: when the round began.
        seconds: how long it took.
        waiting: what is promised and has not come.
        parts: of each Airflow the name, the part, and whether it is healthy.
        undelivered: how many messages wait.
    """
    own = {"environment": environment}
    lines = [
        *_one("dq_watch_round_timestamp_seconds", "When the last good round began.", [(own, at.timestamp())]),
        *_one("dq_watch_round_seconds", "How long it took.", [(own, round(seconds, 3))]),
        *_one("dq_alerts_undelivered", "Messages that were decided and have not left.", [(own, undelivered)]),
    ]
    labelled = [(one, {**own, "kind": one.kind, "name": one.subject, "owner": one.owner}) for one in waiting]
    overdue: dict[tuple[tuple[str, str], ...], int] = {}
    due: dict[tuple[tuple[str, str], ...], float] = {}
    for one, labels in labelled:
        key = tuple(labels.items())
        overdue[key] = overdue.get(key, 0) + one.answer.overdue
        due[key] = min(due.get(key, one.due_at.timestamp()), one.due_at.timestamp())
    lines += _one(
        "dq_sla_overdue_partitions", "Partitions that should be there.", [(dict(k), v) for k, v in overdue.items()]
    )
    lines += _one(
        "dq_sla_due_timestamp_seconds",
        "When the oldest partition that is awaited was or is due.",
        [(dict(k), v) for k, v in due.items()],
    )
    healthy = [({**own, "airflow": name, "part": part}, int(well)) for name, part, well in parts]
    lines += _one("dq_airflow_healthy", "Whether a part of an Airflow is healthy.", healthy)
    return "\n".join(lines) + "\n"


def _one(name: str, said: str, values: Iterable[tuple[dict[str, str], float]]) -> Iterator[str]:
    yield f"# HELP {name} {said}"
    yield f"# TYPE {name} gauge"
    for labels, value in values:
        spelled = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
        yield f"{name}{{{spelled}}} {value}"
