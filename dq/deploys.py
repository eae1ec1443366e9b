"""Which deploy markers stand near the first partition in which a loss is seen. A fact; nobody says that it is a cause.

    a marker                                                            is told as
    ------------------------------------------------------------------  ----------------------------------------------
    the newest one up to the start of the partition, if it is no more   deploy 2.4.1 of ... stands just before
    than ``JUST`` before it
    the newest one inside of the partition                              deploy 2.4.2 of ... falls in that partition
    another one, or one that is about something else                    -

A marker concerns a reconciliation where it is about

    nothing in particular                yes
    a suite, reconciliation or dataset   where that is the reconciliation itself or one of its ``upstream=``
    a DAG                                where that makes the data (``Sla(dag=)``), or runs the reconciliation
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

from attrs import frozen

from dq.model.deploy import Deploy
from dq.model.interval import Interval
from dq.model.reconciliation import Reconciliation

JUST = timedelta(days=7)
"""What changed longer ago does not stand just before."""


@frozen
class Near:
    """A marker near the beginning of a loss.

    Attributes:
        deploy: which.
        inside: it falls in the first partition; False: it stands before it.
    """

    deploy: Deploy
    inside: bool

    def __str__(self) -> str:
        return f"{self.deploy} {'falls in that partition' if self.inside else 'stands just before'}"


def near(deploys: Iterable[Deploy], first: Interval) -> tuple[Near, ...]:
    """Return the markers that are told of a loss that is first seen in a partition; the first table above."""
    before: Deploy | None = None
    inside: Deploy | None = None
    for one in sorted(deploys, key=lambda deploy: (deploy.at, deploy.id)):
        if first.start - JUST <= one.at <= first.start:
            before = one
        elif first.start < one.at < first.end:
            inside = one
    return tuple(Near(one, one is inside) for one in (before, inside) if one is not None)


def concerns(one: Deploy, declared: Reconciliation, dags: Collection[str]) -> bool:
    """Return whether a marker is about a reconciliation; the second table above.

    Args:
        one: the marker.
        declared: the reconciliation.
        dags: the ids of the DAGs that ran it.
    """
    if one.kind == "dag":
        return one.subject in dags or (declared.sla is not None and declared.sla.dag == one.subject)
    return one.subject in ("", declared.name, *declared.upstream)
