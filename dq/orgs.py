"""Orgs: what the other stages of a reconciliation call an org that one of them calls otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from dq.datasource import Datasource
from dq.model.errors import MeasureError, UsageError
from dq.model.group import Group
from dq.model.reconciliation import Reconciliation, Stage
from dq.sql.statements import Compiler

Org = tuple[str | None, ...]
"""The values of the org columns, as text."""


def org_called(declared: Reconciliation, org: str) -> Group:
    """Return the org that the ledger of a reconciliation shows as ``org``.

    Raises:
        UsageError: when it does not have a value per org column.
    """
    columns = declared.by.columns
    words = org.split(" / ") if len(columns) > 1 else [org]
    if len(words) != len(columns):
        place, spelled = f"reconciliation {declared.name!r}", " / ".join(columns)
        raise UsageError(f"{place}: {org!r} is no org; write {spelled}, as the ledger shows it")
    values = (
        None if word == f"(no {column})" else "" if word == "(empty)" else word
        for word, column in zip(words, columns, strict=True)
    )
    return Group(columns, tuple(values))


def names_of_orgs(
    declared: Reconciliation, stage: Stage, datasource: Datasource, compiler: Compiler
) -> Callable[[Sequence[object]], Org]:
    """Return what gives the name that the other stages have for an org of this one.

    Raises:
        DqError: when the query of its ``mapping`` is refused or breaks, or gives an org two names.
    """
    by, width = declared.by, len(declared.by.columns)

    def normal(values: Sequence[object]) -> Org:
        return tuple(_normal(value, stage.normalise) for value in by.group(values).values)

    if isinstance(stage.mapping, str):
        pairs = datasource.fetch(compiler.total(stage.mapping))
        if pairs and len(pairs[0]) != 2 * width:
            raise MeasureError(f"its mapping returns {len(pairs[0])} columns instead of {2 * width}")
        known = [(normal(pair[:width]), by.group(pair[width:]).values) for pair in pairs]
    else:
        known = [(by.key(old).values, by.key(new).values) for old, new in stage.mapping.items()]
    names = dict(known)
    for old, new in known:
        if names[old] != new:
            labels = (Group(by.columns, org).label for org in (old, names[old], new))
            raise MeasureError("its mapping calls {} both {} and {}".format(*labels))

    def called(values: Sequence[object]) -> Org:
        org = normal(values)
        return names.get(org, org)

    return called


def _normal(value: str | None, how: Sequence[str]) -> str | None:
    if value is None:
        return None
    for one in how:
        value = re.sub(r"^0+(?=.)", "", value) if one == "no leading zeros" else str(getattr(value, one)())
    return value
