"""What a ledger says, in a few words and in a sentence.

    unmeasured  no rows at  orgs not  orgs differ,  subject
    stages      a stage     well      but allowed
    ----------  ----------  --------  ------------  ------------------------------------------
    all         -           0         -             could not be measured
    some        -           0         -             NRT could not be measured
    -           some        0         -             nothing to compare at NRT (critical)
    -           -           1         -             1 of 21 orgs differs (critical)
    some        -           2         -             2 of 21 orgs differ (error), NRT could not be measured
    none        none        0         3             all 21 orgs within tolerance, 3 differ
    none        none        0         3             all 21 orgs within tolerance or accepted, 3 differ
    none        none        0         0             all 21 orgs agree
    nothing was there at all                        no rows

Nothing is said to agree of which a part is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from dq.model.ledger import Ledger, LedgerRow
from dq.model.result import Result
from dq.model.severity import Outcome


@frozen(kw_only=True)
class Verdict:
    """What a ledger says.

    Attributes:
        word: ``ok``, a severity, ``no data`` or ``unmeasured``.
        short: for a subject line.
        sentence: for the top of the report.
    """

    word: str
    short: str
    sentence: str


def verdict(ledger: Ledger, rows: Sequence[LedgerRow], worst: str) -> Verdict:
    """Return what ``ledger`` says.

    Args:
        ledger: what was judged.
        rows: all its orgs, also the expected ones that no stage has.
        worst: words on the worst org.
    """
    unit = "org-day" if by_day(ledger) else "org"
    bad = [row.severity for row in rows if row.severity is not None]
    unmeasured, empty = _stages(ledger, Outcome.UNMEASURED), _stages(ledger, Outcome.NO_DATA)
    unknown = [_unmeasured(ledger, unmeasured)] if unmeasured else []
    unknown += [_empty(ledger, empty)] if empty else []
    severity = max((*bad, *(level.severity for level in ledger.levels if level.severity)), default=ledger.severity)
    differ = _differ(len(bad), len(rows) + _others(ledger), unit)
    said = ([f"{differ} ({max(bad)})"] if bad else []) + unknown
    coarser = list(_coarser(ledger))
    if not said and not (coarser and not ledger.own):
        said = [_agreement(ledger, rows, unit) if severity is None or coarser else f"not well ({severity})"]
    said += coarser
    sentences = [f"{differ.capitalize()} by more than is allowed; the worst is {worst}."] if bad else []
    sentences += [_sentence(text) for text in (*(result.sentence for result in (*unmeasured, *empty)), *coarser)]
    if bad or not unknown:
        word = str(severity) if severity is not None else "ok" if rows or _others(ledger) else "no data"
    else:
        word = "unmeasured" if unmeasured else "no data"
    return Verdict(word=word, short=", ".join(said), sentence=" ".join(sentences) or _sentence(said[0]))


def _coarser(ledger: Ledger) -> Iterator[str]:
    """Yield what is not well at coarser levels, those of which nothing is known among them."""
    for level in ledger.levels:
        title = level.pipeline.removeprefix(ledger.pipeline).strip()
        bad = sum(row.severity is not None for row in level.rows)
        if bad:
            yield f"{title} {_differ(bad, level.size, 'org')} ({level.severity})"
        if _stages(level, Outcome.UNMEASURED):
            yield f"{title} could not be measured"
        elif _stages(level, Outcome.NO_DATA):
            yield f"{title} nothing to compare"


def _others(ledger: Ledger) -> int:
    return 0 if ledger.rest is None else ledger.rest.rows


def _agreement(ledger: Ledger, rows: Sequence[LedgerRow], unit: str) -> str:
    count = len(rows) + _others(ledger)
    off = sum(any(row.discrepancy.values()) for row in rows) + (0 if ledger.rest is None else ledger.rest.differing)
    if not count:
        return "no rows"
    if count == 1:
        how = "as is accepted" if rows[0].accepted else "within tolerance"
        return f"the one {unit} differs {how}" if off else f"the one {unit} agrees"
    within = "within tolerance or accepted" if any(row.accepted for row in rows) else "within tolerance"
    return f"all {count} {unit}s {within}, {off} {_verb(off)}" if off else f"all {count} {unit}s agree"


def by_day(ledger: Ledger) -> bool:
    """Return whether the ledger compares several partitions."""
    if ledger.rest is not None:
        return ledger.rest.by_day
    return any(row.interval != ledger.interval for row in ledger.rows)


def _stages(ledger: Ledger, outcome: Outcome) -> tuple[Result, ...]:
    """Return the stages of which that is true as a whole; a stage that lacks an org only has measured others."""
    return tuple(r for r in ledger.own if r.group is None and r.outcome is outcome and not r.orgs)


def _unmeasured(ledger: Ledger, results: Sequence[Result]) -> str:
    if len(results) == sum(r.group is None for r in ledger.own):
        return "could not be measured"
    return f"{_headings(ledger, results)} could not be measured"


def _empty(ledger: Ledger, results: Sequence[Result]) -> str:
    worst = max((r.severity for r in results if r.severity is not None), default=None)
    where = f"nothing to compare at {_headings(ledger, results)}" if ledger.size else "no rows"
    return where if worst is None else f"{where} ({worst})"


def _headings(ledger: Ledger, results: Sequence[Result]) -> str:
    titles = {column.name: column.heading for column in ledger.columns if column.kind == "count"}
    return " and ".join(titles.get(r.check, r.check) for r in results)


def _differ(bad: int, count: int, unit: str) -> str:
    return f"the one {unit} differs" if count == 1 else f"{bad} of {count} {unit}s {_verb(bad)}"


def _verb(count: int) -> str:
    return "differs" if count == 1 else "differ"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
