"""Distribution: how far the values of a column are from a recorded reference, without a row leaving the database.

The reference is a histogram: of numbers the counts between its own quantiles, of categories the counts of its most
common values and of all others together. A run counts the same classes, in the statements that it sends anyway, and
``dq.checks.two_samples`` says how far apart the two are. NULL belongs to no class.

    what is known                                     outcome
    ------------------------------------------------  ----------------------------------------------------
    no reference, neither declared nor recorded       skip: ``dq reference record`` makes one
    no value that is not NULL                         no_data
    both                                              the statistic, or p, is held against the bounds
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, Self

from attrs import evolve, field, frozen

from dq.checks.distinct import plain
from dq.checks.kind import ValueKind, bad_column, number, whole
from dq.checks.two_samples import chi2, ks, psi
from dq.model.errors import DeclarationError, MeasureError, NotJudgedError
from dq.model.measure import Frequencies, Measure, Stat
from dq.model.predicate import In, Present, Range, Scalar
from dq.model.reading import Moment, Numbers, Valued

_METHODS = {"psi": psi, "ks": ks, "chi2": chi2}
_BINS = {"psi": 10, "ks": 100, "chi2": 10}
_NAMES = {"psi": "population stability index", "ks": "Kolmogorov-Smirnov distance", "chi2": "chi-square"}
MOST_BINS = 150
"""How many classes a histogram has at most: they are counted in one statement."""


@frozen
class Histogram:
    """Counts of classes of values.

    Attributes:
        counts: of numbers, one more than there are edges: below the first, from each to the next, from the last on; of
            categories, one per value and one of all others.
        edges: of numbers, in order.
        values: of categories.
    """

    counts: tuple[int, ...]
    edges: tuple[int | float, ...] = ()
    values: tuple[Scalar, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any] | Histogram | None) -> Histogram | None:
        """Return the histogram that ``to_json`` wrote.

        Raises:
            DeclarationError: when it is none.
        """
        if document is None or isinstance(document, Histogram):
            return document
        try:
            made = cls(*(tuple(document.get(name, ())) for name in ("counts", "edges", "values")))
            right = (
                bool(made.edges) is not bool(made.values)
                and len(made.counts) == len(made.edges or made.values) + 1
                and list(made.edges) == sorted(set(made.edges))
                and all(isinstance(count, int) and count >= 0 for count in made.counts)
                and sum(made.counts) > 0
            )
        except (TypeError, AttributeError):
            right = False
        if not right:
            raise DeclarationError(
                "the reference is no histogram; write what `dq reference show` prints:"
                ' {"edges": [1, 2], "counts": [5, 5, 5]} or {"values": ["a"], "counts": [5, 1]}'
            )
        return made

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        classes = {"edges": list(self.edges)} if self.edges else {"values": list(self.values)}
        return {**classes, "counts": list(self.counts)}


def _histogram(value: Mapping[str, Any] | Histogram | None) -> Histogram | None:
    return Histogram.of(value)


@frozen
class Distribution(ValueKind):
    """How far the values of the column are from a reference: ``Distribution("amount")`` with ``at_most(0.25)``.

    Attributes:
        column: its name.
        method: ``"psi"``, the population stability index; ``"ks"``, Kolmogorov-Smirnov, of numbers; ``"chi2"``, the
            chi-square test. See ``dq.checks.two_samples`` for what they say, and their sources.
        of: ``"numbers"``: classes between quantiles of the reference; ``"categories"``: its most common values.
        bounds_on: ``"p"``, with bounds such as ``at_least(0.01)``, or ``"statistic"``. By default p for ``ks`` and
            ``chi2``; ``psi`` has none.
        bins: how many classes the reference gets when it is recorded: 10, for ``ks`` 100.
        reference: a histogram as ``dq reference show`` prints it; None: the one that was recorded.
    """

    column: str
    method: Literal["psi", "ks", "chi2"] = "psi"
    of: Literal["numbers", "categories"] = field(default="numbers", kw_only=True)
    bounds_on: Literal["statistic", "p"] = field(kw_only=True)
    bins: int | None = field(default=None, kw_only=True)
    reference: Histogram | None = field(default=None, converter=_histogram, kw_only=True)

    @bounds_on.default
    def _usual(self) -> Literal["statistic", "p"]:
        return "statistic" if self.method == "psi" else "p"

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        if self.method not in _METHODS:
            yield f'method={self.method!r} is not one of "psi", "ks", "chi2"'
            return
        if self.of not in ("numbers", "categories"):
            yield f'of={self.of!r} is not "numbers" or "categories"'
        if self.bounds_on not in ("statistic", "p"):
            yield f'bounds_on={self.bounds_on!r} is not "statistic" or "p"'
        if self.method == "psi" and self.bounds_on == "p":
            yield "the population stability index has no p; leave bounds_on= out"
        if self.method == "ks" and self.of == "categories":
            yield 'categories have no order for "ks"; use "psi" or "chi2"'
        if isinstance(self.classes, bool) or not isinstance(self.classes, int) or not 2 <= self.classes <= MOST_BINS:
            yield f"bins={self.bins!r} is not a number of classes from 2 to {MOST_BINS}"
        if self.reference is not None and bool(self.reference.values) is not (self.of == "categories"):
            yield f"its reference is not one of {self.of}"

    @property
    def classes(self) -> int:
        """How many classes the reference gets when it is recorded."""
        return _BINS[self.method] if self.bins is None else self.bins

    @property
    def remembers(self) -> Literal["recorded"] | None:
        """Without a reference of its own it is held against the recorded one."""
        return "recorded" if self.reference is None else None

    def recalled(self, recorded: object) -> Self:
        """Return it with the reference that was recorded, unless that was of another column or of other classes."""
        if self.reference is not None or not isinstance(recorded, Mapping) or recorded.get("column") != self.column:
            return self
        return evolve(self, reference=recorded) if ("values" in recorded) is (self.of == "categories") else self

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, and the count of each class of the reference."""
        rows = {"rows": Measure("rows", where=where)}
        return rows | (self._counts(self.reference, where) if self.reference is not None else {})

    def recording(self, where: str | None) -> Generator[Mapping[str, Measure], Numbers, Any]:
        """Ask for what the reference is made of, step by step, and return it as JSON values.

        Raises:
            MeasureError: when the column has no values, or none that are numbers.
        """
        if self.of == "numbers":
            shares = [step / self.classes for step in range(1, self.classes)]
            quantiles = [Measure("stat", Stat("quantile", (self.column,), at), where) for at in shares]
            found = yield {f"quantile {i}": measure for i, measure in enumerate(quantiles)}
            numbers = [number(found[role]) for role in found]
            edges = sorted({plain_number(one) for one in numbers if one is not None})
            made = Histogram((), edges=tuple(edges))
        else:
            found = yield {"values": Measure("frequencies", Frequencies(self.column, limit=self.classes), where)}
            listed = list(found["values"] or ())[: self.classes]
            made = Histogram((), values=tuple(plain(row[0]) for row in listed))
        if not made.edges and not made.values:
            raise MeasureError(f"{self.column} has no values, so they have no distribution")
        found = yield {"rows": Measure("rows", where=where), **self._counts(made, where)}
        return {"column": self.column, **evolve(made, counts=_counted(made, found)).to_json()}

    def _counts(self, histogram: Histogram, where: str | None) -> dict[str, Measure]:
        if histogram.values:
            counts = {
                f"class {i}": Measure("matches", In(self.column, (value,)), where)
                for i, value in enumerate(histogram.values)
            }
            return {**counts, "missing": Measure("violations", Present((self.column,)), where)}
        ends = pairwise((None, *histogram.edges, None))
        return {
            f"class {i}": Measure("matches", Range(self.column, low, high, high_open=high is not None), where)
            for i, (low, high) in enumerate(ends)
        }

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return how far apart the two are.

        Raises:
            NotJudgedError: when there is no reference.
        """
        if self.reference is None:
            raise NotJudgedError(
                f"no reference of {self.of} is recorded for {self.column}; dq reference record SUITE CHECK does it"
            )
        counts = _counted(self.reference, numbers)
        if not sum(counts):
            return Valued(None)
        found = _METHODS[self.method](self.reference.counts, counts)
        value = found.p if self.bounds_on == "p" and found.p is not None else found.statistic
        said = f"{sum(counts)} values against {sum(self.reference.counts)} of the reference"
        if found.p is not None:
            other = f"{_NAMES[self.method]} {found.statistic:.4g}" if self.bounds_on == "p" else f"p {found.p:.4g}"
            said += f"; {other}" + (", rough because of small classes" if found.rough else "")
        detail = {"statistic": found.statistic, "p": found.p, "found": evolve(self.reference, counts=counts).to_json()}
        return Valued(Fraction(str(value)), detail=detail | {"reference": list(self.reference.counts)}, said=said)

    def __str__(self) -> str:
        what = "p of the " if self.bounds_on == "p" else ""
        return f"{what}{_NAMES[self.method]} of {self.column} against its reference"


def plain_number(value: Fraction) -> int | float:
    """Return a number as JSON has it."""
    return value.numerator if value.denominator == 1 else float(value)


def _counted(histogram: Histogram, numbers: Numbers) -> tuple[int, ...]:
    classes = len(histogram.edges) + 1 if histogram.edges else len(histogram.values)
    counts = [whole(numbers.get(f"class {i}")) or 0 for i in range(classes)]
    if histogram.values:
        present = (whole(numbers.get("rows")) or 0) - (whole(numbers.get("missing")) or 0)
        counts.append(max(present - sum(counts), 0))
    return tuple(counts)
