"""Dataset: something that is promised and has no checks here: a table, or what a DAG or a task of it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import field, frozen

from dq.model.check import _routes, _upstream, name_problems, upstream_problems
from dq.model.errors import DeclarationError
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.model.table import Table, words


@frozen
class Dataset:
    """Something that is promised, and watched by ``dq watch``.

    Where its ``sla`` says what rows must be there (``rows=``), ``table`` is looked at; else a DAG run, or the task of
    it, is what is promised, and must succeed.

    Attributes:
        name: unique among the project's suites, reconciliations and datasets.
        sla: the promise; it says which DAG or task makes the dataset (``dag=``), or what rows must be there, or both.
        table: where the data is.
        notify: channels per severity.
        upstream: the names of suites, reconciliations and datasets that it is made from.
        owner, runbook, description, tags: labels.
    """

    name: str
    sla: Sla = field(kw_only=True)
    table: Table | None = field(default=None, kw_only=True)
    notify: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_routes, kw_only=True)
    upstream: tuple[str, ...] = field(default=(), converter=_upstream, kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    runbook: str | None = field(default=None, kw_only=True)
    description: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), converter=words, kw_only=True)

    def __attrs_post_init__(self) -> None:
        for problem in self._problems():
            raise DeclarationError(f"dataset {self.name!r}: {problem}")

    def _problems(self) -> Iterator[str]:
        sla: object = self.sla
        table: object = self.table
        yield from name_problems(self.name)
        if not isinstance(sla, Sla):
            yield f'its sla is {sla!r}; write e.g. Sla(due="06:00", dag="collect")'
            return
        if table is not None and not isinstance(table, Table):
            yield f"its table is {table!r}, not a Table"
        if self.sla.rows is not None and table is None:
            yield "its sla says what rows must be there, and it has no table"
        if self.sla.rows is None and self.sla.dag is None:
            yield 'nothing says when it is there: give its sla rows=1 and a table, or dag="..."'
        if self.sla.correct is not None:
            yield "its sla promises that it is correct, which only the checks of a suite can tell"
        yield from upstream_problems(self.name, self.upstream)
        for severity in self.notify:
            try:
                Severity.of(severity)
            except DeclarationError as error:
                yield f"notify: {error}"
