"""The digest of an environment: how every reconciliation stands, what else is not well, and what is not known.

What its verdict says, in this order; ``all well`` only where none of it is so:

    said                                   when
    -------------------------------------  ------------------------------------------------------------
    2 reconciliations not well             something is open, or the newest run of them was not good
    3 checks not well                      something else is open: checks, promises, DAGs, dq itself
    1 never ran, 2 did not run             nothing was measured, or not lately: nobody knows
    1 unmeasured, 1 no data                it ran, found nothing to judge, and nothing is open of it
    1 trouble                              dq itself cannot know or tell something
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime

from attrs import frozen
from markupsafe import Markup

from dq.model.message import is_web
from dq.model.names import first_of
from dq.model.severity import Severity
from dq.reports import Rendered, attainment
from dq.reports.attainment_html import INLINER, PLACE, placed
from dq.reports.discrepancy import MAX_BYTES
from dq.reports.news import News, State, sentences
from dq.reports.text import clean, short_time, wrap
from dq.reports.trend import Day, Strip, Strips, strips
from dq.template import render_html

MAX_ROWS = 50
_FITS = ((1, 80, 240), (1, 40, 120), (2, 40, 120), (5, 24, 80), (None, 24, 80))
"""What is tried until the HTML is short enough: the row limit divided by that (None: no row), characters of a name and
of a sentence."""
_TEXT_NAME = 28
_SHARE = "percent of the orgs that are not well"
_NAMED = 10  # of what never ran
_PROMISES = 20  # datasets of the section about SLAs
_UNKNOWN = ("never ran", "did not run", "unmeasured", "no data", "trouble")


@frozen(kw_only=True)
class Reconciled:
    """How a reconciliation stands.

    Attributes:
        name: its name.
        word: ``ok``, a severity, ``unmeasured``, ``no data``, ``did not run`` or ``never ran``.
        severity: how bad it is; None: nothing is wrong as far as is known.
        partition: the newest that was measured, for people; empty: none.
        sentence: what was found there, with the worst orgs.
        stands: since when it is open, for people; empty: it is not.
        silent: that it was to run and did not, a sentence; empty: it did.
        link: where to read what to do; empty: nowhere.
        days: the last two weeks of the whole.
    """

    name: str
    word: str
    severity: Severity | None = None
    partition: str = ""
    sentence: str = ""
    stands: str = ""
    silent: str = ""
    link: str = ""
    days: tuple[Day, ...] = ()


@frozen(kw_only=True)
class Open:
    """Something else that is not well.

    Attributes:
        what: the suite and check, the dataset and partition, the DAG and task.
        severity: how bad.
        stands: whether it is new, or since when it is open, for people.
        who: who is on it, or why nobody is told.
        finding: what was found.
        link: where to read what to do; empty: nowhere.
    """

    what: str
    severity: Severity
    stands: str
    who: str
    finding: str
    link: str = ""


@frozen
class Unknown:
    """Something of which nobody knows how it is.

    Attributes:
        word: ``never ran``, ``did not run``, ``unmeasured``, ``no data`` or ``trouble``.
        name: of the suite or reconciliation; empty: of dq itself.
        sentence: what is known.
    """

    word: str
    name: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}" if self.name else self.sentence


@frozen(kw_only=True)
class Digest:
    """All that a digest says.

    Attributes:
        environment: e.g. ``prod``.
        made_at: when it is made, UTC.
        suites: how many suites are declared.
        news: what is new, still open and fixed.
        reconciliations: all of the environment, worst first.
        opened: what else is not well, worst first.
        unknown: what nobody knows.
        days: those of each reconciliation that has any, oldest first.
        promises: how SLAs were kept; None: nothing is promised.
    """

    environment: str
    made_at: datetime
    suites: int
    news: News
    reconciliations: tuple[Reconciled, ...] = ()
    opened: tuple[Open, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    days: tuple[date, ...] = ()
    promises: attainment.Report | None = None


def render(found: Digest, *, max_rows: int = MAX_ROWS) -> Rendered:
    """Return the digest.

    Args:
        found: what it says.
        max_rows: that many rows of a table are listed, the others counted; fewer where the HTML would become too long.
    """
    word, said = verdict(found)
    short = said + (f"; {found.news.short}" if found.news.short else "")
    day = f"{found.made_at.astimezone(UTC):%Y-%m-%d}"
    subject = clean(f"{found.environment.upper()} - digest of {day}: {short}", 250)
    for part, name, sentence in _FITS:
        limit = 0 if part is None else max_rows // part
        html = _html(found, subject, word, said, limit, name, sentence)
        html = placed(html, found.promises, _PROMISES, MAX_BYTES)
        if len(html.encode()) < MAX_BYTES:
            break
    return Rendered(subject=subject, html=html, text=_text(found, word, said, limit))


def verdict(found: Digest) -> tuple[str, str]:
    """Return a word (a severity, ``unmeasured`` or ``ok``) and what the digest says in short."""
    bad = [one.severity for one in found.reconciliations if one.severity is not None]
    severities = [*bad, *(one.severity for one in found.opened)]
    said = [
        _counted(len(count), what)
        for count, what in ((bad, "reconciliation"), (found.opened, "check"))
        if count
    ]
    parts = [f"{' and '.join(said)} not well ({max(severities)})"] if said else []
    unknown = Counter(one.word for one in found.unknown)
    parts += [f"{unknown[word]} {word}" for word in _UNKNOWN if unknown[word]]
    if not found.suites and not found.reconciliations:
        parts.append("nothing is declared")
    if severities:
        return str(max(severities)), ", ".join(parts)
    return ("unmeasured", ", ".join(parts)) if parts else ("ok", "all well")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _numbers(found: Digest) -> list[tuple[str, str]]:
    well = sum(one.word == "ok" for one in found.reconciliations)
    numbers = [("Reconciliations well", f"{well} of {len(found.reconciliations)}")] if found.reconciliations else []
    still = [item for item in found.news.items if item.state.is_open]
    numbers += [("Open", str(len(still)))]
    numbers += [(str(s).capitalize(), str(len(found.news.of(s)))) for s in (State.NEW, State.BACK, State.FIXED)]
    return [*numbers, ("Not known", str(len(found.unknown)))]


def _since(news: News) -> str:
    return "What is new" if news.since is None else f"Since {short_time(news.since)} UTC"


def _strips(found: Digest, limit: int, name: int) -> Strips | None:
    rows = [one for one in found.reconciliations[:limit] if one.days]
    if not rows:
        return None
    return strips(found.days, (Strip(name=clean(one.name, name), words="", days=one.days) for one in rows), _SHARE)


def not_known(found: Digest) -> list[tuple[str, str]]:
    """Return a word and a sentence on all that is not known; what never ran is one sentence."""
    never = [clean(one.name, 60) for one in found.unknown if one.word == "never ran"]
    said = [("never ran", f"no run in {found.environment}: {first_of(never, _NAMED)}")] if never else []
    return [*said, *((one.word, str(one)) for one in found.unknown if one.word != "never ran")]


def _left(count: int, severities: Sequence[Severity | None]) -> str:
    """Return a sentence on rows that are not listed; empty: there are none."""
    bad = sum(severity is not None for severity in severities)
    return f"and {count} more, {bad} of them not well" if count else ""


def _html(found: Digest, subject: str, word: str, said: str, limit: int, name: int, sentence: int) -> str:
    unknown = not_known(found)
    page = render_html(
        "reports/digest.html.j2",
        subject=subject,
        environment=clean(found.environment, name),
        day=f"{found.made_at.astimezone(UTC):%Y-%m-%d}",
        numbers=_numbers(found),
        word=word,
        said=said,
        since=_since(found.news),
        news=sentences(found.news),
        reconciliations=[
            (one, clean(one.name, name), clean(one.sentence, sentence), _safe(one.link))
            for one in found.reconciliations[:limit]
        ],
        more_reconciliations=_left(
            len(found.reconciliations[limit:]), [one.severity for one in found.reconciliations[limit:]]
        ),
        strips=_strips(found, limit, name),
        opened=[
            (one, clean(one.what, 2 * name), clean(one.who, name), clean(one.finding, sentence), _safe(one.link))
            for one in found.opened[:limit]
        ],
        more_opened=_left(len(found.opened[limit:]), [one.severity for one in found.opened[limit:]]),
        unknown=[(word, clean(said, 2 * sentence)) for word, said in unknown[:limit]],
        more_unknown=len(unknown[limit:]),
        foot=f"Made {found.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        promises=Markup("" if found.promises is None else PLACE),  # noqa: S704  # ours
    )
    return INLINER.inline(page)


def _safe(link: str) -> str:
    return link if is_web(link) and len(link) < 500 else ""


def _text(found: Digest, word: str, said: str, limit: int) -> str:
    days = _strips(found, limit, 80)
    reconciled = [
        f"{one.word}: {_named(one)}" + (f": {clean(one.sentence, 240)}" if one.sentence else "")
        for one in found.reconciliations[:limit]
    ]
    opened = [
        f"{one.severity}: {clean(one.what, 160)} ({one.stands}; {clean(one.who, 80)}): {clean(one.finding, 240)}"
        for one in found.opened[:limit]
    ]
    unknown = [f"{word}: {clean(said, 480)}" for word, said in not_known(found)]
    blocks = [
        wrap(f"{clean(found.environment, 80)} - digest of {found.made_at.astimezone(UTC):%Y-%m-%d}"),
        wrap(f"{word.upper()}: {said}"),
        _listed(_since(found.news), [f"{state}: {what}" for state, what in sentences(found.news)], 0),
        _listed("Reconciliations, worst first", reconciled, len(found.reconciliations) - limit),
        [] if days is None else _table_of(days),
        _listed("Not well beside them, worst first", opened, len(found.opened) - limit),
        _listed("Not known", unknown[:limit], len(unknown) - limit),
        wrap(f"Made {found.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"),
    ]
    text = "\n\n".join("\n".join(block) for block in blocks if block) + "\n"
    if found.promises is not None:
        text += f"\nPromises kept\n\n{attainment.text(found.promises, max_rows=_PROMISES)}"
    return text


def _named(one: Reconciled) -> str:
    details = [clean(part, 80) for part in (one.partition, one.stands) if part]
    return clean(one.name, 80) + (f" ({', '.join(details)})" if details else "")


def _table_of(days: Strips) -> list[str]:
    return [f"Day by day, {days.title}:", *days.text("Reconciliation", _TEXT_NAME), *wrap(days.legend(plain=True))]


def _listed(title: str, entries: Sequence[str], more: int) -> list[str]:
    lines = [line for entry in entries for line in wrap(f"- {entry}", "  ")]
    lines += [f"- and {more} more"] if more > 0 else []
    return [f"{title}:", *lines] if lines else []
