"""The discrepancy report of a reconciliation: one row per org, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction

from attrs import frozen
from markupsafe import Markup

from dq.model.group import Group
from dq.model.ledger import Column, Count, KnownLoss, Ledger, LedgerRow, Rest
from dq.model.message import is_web
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.reports import Rendered, attainment
from dq.reports.attainment_html import INLINER, PLACE, placed
from dq.reports.chart import Chart
from dq.reports.news import News, sentences
from dq.reports.text import clean, short_time, table, wrap
from dq.reports.trend import Strip, Strips, Trend, strips
from dq.reports.verdict import Verdict, by_day, verdict
from dq.template import render_html

MAX_ROWS = 50
MAX_BYTES = 100_000
_DASH = "\N{EN DASH}"
_LEGEND = (
    "Discrepancy = baseline - stage - explained, its share is of the baseline; positive: missing, negative: too many."
)
_DERIVED = "Derived: computed from the same stages, so it explains nothing by itself."
_TEXT_NAME = 28  # columns of the text table that an org's name may take
_WORD = 16  # characters of the longest word of a heading that is not broken
_NAME, _NOTE, _SENTENCE = 80, 160, 240  # characters of an org's name, of the remarks on it, of a sentence
_FITS = (
    (1, 80, 1, 10), (1, 40, 2, 10), (1, 24, 4, 5), (1, 24, 10, 2), (2, 24, 4, 2), (5, 24, 10, 1), (None, 24, None, 0),
)  # fmt: skip
"""What is tried until the HTML is short enough: the row limit divided by that, characters of a name, the row limit
divided by that for the days, and how many rows of a coarser level; None: none."""
_SHARE = "percent of the baseline that is missing, negative: too many"
_MANY = 12  # entries of the lists above and below the table
_PROMISES = 10  # datasets of the section about SLAs
_PROMISES_TITLE = "Promises kept"


@frozen(kw_only=True)
class _Heading:
    """The heading of a column; ``difference``: of a discrepancy or its share; ``long``: a word of it must be broken."""

    text: str
    derived: bool
    difference: bool
    long: bool


@frozen(kw_only=True)
class _Line:
    """A row of the table in words; ``same``: nothing differs, so that a phone leaves the zeros out."""

    org: str
    word: str
    day: str
    cells: tuple[tuple[str, bool], ...]  # text, and whether it differs
    notes: str
    same: bool
    rest: bool = False


@frozen(kw_only=True)
class _Level:
    """A coarser level in words: a verdict, the rows of its table, and how many more are not well."""

    title: str
    word: str
    said: str
    headings: list[_Heading]
    by_day: bool
    lines: list[_Line]
    more: str


@frozen(kw_only=True)
class _Step:
    """A stage of the waterfall in words; ``bar``: its share of the greatest in percent."""

    name: str
    number: str
    change: str
    bar: int


def render(
    ledger: Ledger,
    *,
    now: datetime | None = None,
    links: Sequence[tuple[str, str]] = (),
    max_rows: int = MAX_ROWS,
    promises: attainment.Report | None = None,
    since: Sequence[str] = (),
    all_in: str = "",
    news: News | None = None,
    trend: Trend | None = None,
    chart: Chart | None = None,
) -> Rendered:
    """Return the discrepancy report of ``ledger``.

    Args:
        ledger: what was counted and judged.
        now: when the report is made, for its foot; None: not told.
        links: text and address (http or https) of where to read on.
        max_rows: that many of the worst rows are listed, the others summed up in one; fewer where the HTML would
            become too long.
        promises: how SLAs were kept, for a section of its own; None: there is none.
        since: since when what is not well differs, and what was changed near that, a sentence each.
        all_in: a sentence that says where all rows are, for the foot.
        news: what is new, still open and fixed, for a section of its own; None: there is none.
        trend: the last days of the orgs that are not well, for a section of its own; None: there is none.
        chart: a picture of the same, which is shown below it and attached; None: there is none.
    """
    began = [clean(one, 2 * _SENTENCE) for one in since]
    rows = all_rows(ledger)
    said = verdict(ledger, rows, _worst(ledger, rows))
    short = said.short + (f"; {news.short}" if news is not None and news.short else "")
    subject = clean(f"{ledger.environment} - {clean(ledger.pipeline, _NAME)} - {ledger.interval}: {short}", 250)
    made = f"Made {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if now is not None else ""
    foot = " ".join(filter(None, (clean(all_in, 2 * _SENTENCE), made)))
    others: dict[int, _Line] = {}
    coarser = [_coarser(ledger, level) for level in ledger.levels[:_MANY]]
    for part, name, part_of_days, of_level in _FITS:
        limit = 0 if part is None else max_rows // part
        if limit not in others and (rows[limit:] or ledger.rest is not None):
            others[limit] = _others(ledger, rows[limit:])
        lines = [*_lines(ledger, rows[:limit], name), *([others[limit]] if limit in others else [])]
        days = _strips(rows, trend, news, 0 if part_of_days is None else max_rows // part_of_days, name)
        levels = [_level(*level, limit=of_level, name=name) for level in coarser]
        mark = "" if promises is None else PLACE
        shown = None if days is None else chart  # who does not see the picture has the numbers
        html = _html(ledger, said, lines, levels, days, shown, news, subject, foot, links, began, mark, name)
        html = placed(html, promises, _PROMISES, MAX_BYTES)
        if len(html.encode()) < MAX_BYTES:
            break
    text = _text(ledger, said, lines, levels, days, news, foot, links, began)
    if promises is not None:
        text += f"\n{_PROMISES_TITLE}\n\n{attainment.text(promises, max_rows=_PROMISES)}"
    return Rendered(subject=subject, html=html, text=text, attachments=() if shown is None else (shown.image,))


def all_rows(ledger: Ledger) -> list[LedgerRow]:
    """Return the rows of ``ledger`` and one for each expected org that no stage has, worst first."""
    return sorted((*ledger.rows, *_absent(ledger)), key=lambda row: -(row.severity or 0))


def share_text(share: Fraction | None) -> str:
    """Return a share in percent with one decimal, rounded half to even from the exact value; ``n/a`` for None."""
    if share is None:
        return "n/a"
    tenths = round(share * 1000)
    return f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"


def count_text(count: Count | None) -> str:
    """Return a count or a sum in digits; a dash where there is none."""
    return _DASH if count is None else format(count or 0, "d" if isinstance(count or 0, int) else "f")


def loss_text(known: KnownLoss) -> str:
    """Return what was lost in a known way, in a sentence."""
    example = f"; for example: {clean(known.sample, _SENTENCE)}" if known.sample else ""
    return f"{clean(known.name, _NAME)}: {count_text(known.count)}{example}"


def _absent(ledger: Ledger) -> Iterator[LedgerRow]:
    """Yield a row for each expected org that no stage has: there are Results of it only."""
    seen = {row.org for row in ledger.rows}
    found: dict[Group, list[Result]] = {}
    for result in ledger.own:
        if result.group is not None and result.outcome is Outcome.NO_DATA and result.group not in seen:
            found.setdefault(result.group, []).append(result)
    nowhere = {column.name: None for column in ledger.columns if column.kind == "count"}
    for org, results in found.items():
        yield LedgerRow(
            interval=ledger.interval, org=org, counts=dict(nowhere), explained={}, discrepancy={}, share={},
            severity=max((r.severity for r in results if r.severity is not None), default=None),
            notes=(results[0].sentence,),
        )  # fmt: skip


def _worst(ledger: Ledger, rows: Sequence[LedgerRow]) -> str:
    if not rows:
        return "none"
    row = rows[0]
    name = f"org {clean(row.org.label, _NAME)}" + (f" on {row.interval}" if by_day(ledger) else "")
    if not row.discrepancy:
        return f"{name}: {clean('; '.join(row.notes), _NOTE)}"
    stage = max(row.discrepancy, key=lambda name: _size(row.discrepancy[name]))
    missing = row.discrepancy[stage]
    share = row.share.get(stage)
    titles = {column.name: column.heading for column in ledger.columns if column.kind == "count"}
    what = "missing" if missing > 0 else "too many"
    percent = "" if share is None else share_text(abs(share))
    of_them = f" ({'under 0.1' if percent == '0.0' else percent} %)" if percent else ""
    return f"{name}: {count_text(_size(missing))} {what}{of_them} at {titles.get(stage, stage)}"


def _size(count: Count) -> Count:
    return -count if count < 0 else count


def _lines(ledger: Ledger, rows: Sequence[LedgerRow], name: int) -> list[_Line]:
    many = by_day(ledger)
    return [_line(ledger, row, str(row.interval) if many else "", name) for row in rows]


def _coarser(ledger: Ledger, level: Ledger) -> tuple[Ledger, Verdict, list[LedgerRow], str]:
    """Return a coarser level with what it says, its rows that are not well, worst first, and how it is called."""
    rows = all_rows(level)
    bad = [row for row in rows if row.severity is not None]
    return level, verdict(level, rows, ""), bad, level.pipeline.removeprefix(ledger.pipeline)


def _level(level: Ledger, said: Verdict, bad: Sequence[LedgerRow], title: str, limit: int, name: int) -> _Level:
    left = len(bad) - limit
    return _Level(
        title=clean(title, name),
        word=said.word,
        said=clean(said.short, _SENTENCE),
        headings=_headings(level, name),
        by_day=by_day(level),
        lines=_lines(level, bad[:limit], name),
        more=f"and {left} more" if left > 0 and limit else "",
    )


def _strips(rows: Sequence[LedgerRow], trend: Trend | None, news: News | None, limit: int, name: int) -> Strips | None:
    bad = [] if trend is None else [row.org for row in rows if row.severity is not None and row.org in trend.rows]
    if trend is None or not bad[:limit]:
        return None
    words = {} if news is None or news.since is None else {item.key: item.words for item in news.items if item.key}
    shown = (
        Strip(name=clean(org.label, name), words=words.get(org.key, ""), days=trend.rows[org]) for org in bad[:limit]
    )
    return strips(trend.days, shown, _SHARE)


def _line(ledger: Ledger, row: LedgerRow, day: str, name: int) -> _Line:
    notes = row.notes or tuple(
        f"no count at {column.heading}"
        for column in ledger.columns
        if column.kind == "count" and row.counts.get(column.name) is None
    )
    return _Line(
        org=clean(row.org.label, name),
        word="ok" if row.severity is None else str(row.severity),
        day=day,
        cells=tuple(_cell(column, _number(column, row), row.share.get(column.name)) for column in ledger.columns),
        notes=clean("; ".join(notes), 2 * name),
        same=row.severity is None and bool(row.discrepancy) and not any(row.discrepancy.values()),
    )


def _cell(column: Column, number: Count | None, share: Fraction | None) -> tuple[str, bool]:
    if column.kind == "share":
        return _DASH if number is None else share_text(share), bool(number)
    return count_text(number), column.kind == "discrepancy" and bool(number)


def _number(column: Column, row: LedgerRow | Rest) -> Count | None:
    """Return the number of a column; of a share the discrepancy that it is the share of."""
    if column.kind == "count":
        return row.counts.get(column.name)
    return (row.explained if column.kind == "explained" else row.discrepancy).get(column.name)


def _others(ledger: Ledger, rows: Sequence[LedgerRow]) -> _Line:
    """Return one line for the rows that are not listed: their sums, and whether they agree."""
    bad = [row.severity for row in rows if row.severity is not None]
    rest = [] if ledger.rest is None else [ledger.rest]
    count = len(rows) + sum(one.rows for one in rest)
    said = f"and {count} other {'org-day' if by_day(ledger) else 'org'}{'' if count == 1 else 's'}"
    if bad:
        said += f", {len(bad)} of them not well"
    elif any(any(row.discrepancy.values()) for row in rows) or any(one.differing for one in rest):
        said += " within tolerance"
    else:
        said += " agrees" if count == 1 else " agree"
    every: list[LedgerRow | Rest] = [*rows, *rest]
    sums = [_sum(_number(column, row) for row in every) for column in ledger.columns]
    whole = next((total for column, total in zip(ledger.columns, sums, strict=True) if column.kind == "count"), None)
    return _Line(
        org=f"{count} others",
        word="ok" if not bad else str(max(bad)),
        day="",
        cells=tuple(
            _cell(column, total, _share(total or 0, whole)) for column, total in zip(ledger.columns, sums, strict=True)
        ),
        notes=said,
        same=False,
        rest=True,
    )


def _share(missing: Count, whole: Count | None) -> Fraction | None:
    return Fraction(missing) / Fraction(whole) if whole else None if missing else Fraction(0)


def _sum(counts: Iterable[Count | None]) -> Count | None:
    there = [count for count in counts if count is not None]
    return sum(there) if there else None


def _checks(ledger: Ledger) -> list[tuple[str, str]]:
    """Return a word and a sentence on each stage, worst first."""
    summaries = sorted((r for r in ledger.results if r.group is None), key=lambda r: -(r.severity or 0))
    words = {Outcome.UNMEASURED: "unmeasured", Outcome.NO_DATA: "no data", Outcome.SKIP: "skip", Outcome.PASS: "ok"}
    said = [
        (words.get(r.outcome) or str(r.severity or "fail"), f"{clean(r.check, _NAME)}: {clean(r.sentence, _SENTENCE)}")
        for r in summaries[:_MANY]
    ]
    return [*said, *((_worst_word(summaries[_MANY:]), more) for more in _more(summaries))]


def _worst_word(results: Sequence[Result]) -> str:
    worst = max((r.severity for r in results if r.severity is not None), default=None)
    return "ok" if worst is None else str(worst)


def _more(entries: Sequence[object]) -> list[str]:
    return [f"and {len(entries) - _MANY} more"] if len(entries) > _MANY else []


def _older(ledger: Ledger) -> list[str]:
    lines = [f"{interval}: {clean(what, _SENTENCE)}" for interval, what in ledger.still_bad[:_MANY]]
    return [*lines, *_more(ledger.still_bad)]


def _steps(ledger: Ledger) -> list[_Step]:
    """Return the sum of all orgs at each stage that counts what the baseline counts; none where nothing differs."""
    baseline = ledger.columns[0]
    compared = {column.name for column in ledger.columns if column.kind == "discrepancy"}
    unmeasured = {result.check for result in ledger.results if result.outcome is Outcome.UNMEASURED}
    sums: list[tuple[Column, Count]] = []
    every: list[LedgerRow | Rest] = [*ledger.rows, *([] if ledger.rest is None else [ledger.rest])]
    for column in ledger.columns:
        if column.kind == "count" and (column.measure == baseline.measure or column.name in compared):
            total = _sum(row.counts.get(column.name) for row in every)
            if total is not None or column.name in compared - unmeasured:
                sums.append((column, total or 0))
    greatest = max((_size(total) for _, total in sums), default=0)
    if len({total for _, total in sums}) < 2:
        return []
    first = sums[0][1]
    return [
        _Step(
            name=clean(column.heading, _NAME),
            number=count_text(total),
            change=_change(total - first),
            bar=round(100 * Fraction(_size(total)) / Fraction(greatest)),
        )
        for column, total in sums
    ]


def _change(more: Count) -> str:
    return f"{count_text(_size(more))} {'more' if more > 0 else 'fewer'}" if more else ""


def _losses(ledger: Ledger) -> list[str]:
    return [*map(loss_text, ledger.losses[:_MANY]), *_more(ledger.losses)]


def _totals(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Return name, number and remark of each total."""
    totals = [
        (clean(name, _NAME), "not measured" if value is None else count_text(value), clean(why, _NOTE))
        for name, value, why in ledger.totals[:_MANY]
    ]
    return [*totals, *(("further totals", more, "") for more in _more(ledger.totals))]


def _headings(ledger: Ledger, name: int = _NAME) -> list[_Heading]:
    return [
        _Heading(
            text=clean(column.heading, name),
            derived=column.derived,
            difference=column.kind in {"discrepancy", "share"},
            long=any(len(word) > _WORD for word in column.heading.split()),
        )
        for column in ledger.columns
    ]


def _html(
    ledger: Ledger,
    said: Verdict,
    lines: Sequence[_Line],
    levels: Sequence[_Level],
    days: Strips | None,
    chart: Chart | None,
    news: News | None,
    subject: str,
    foot: str,
    links: Sequence[tuple[str, str]],
    began: Sequence[str],
    promises: str,
    name: int,
) -> str:
    page = render_html(
        "reports/discrepancy.html.j2",
        subject=subject,
        environment=clean(ledger.environment, _NAME),
        pipeline=clean(ledger.pipeline, _NAME),
        day=str(ledger.interval),
        totals=_totals(ledger),
        word=said.word,
        sentence=clean(said.sentence, 2 * _SENTENCE),
        headings=_headings(ledger, name),
        since=_since(news),
        news=[] if news is None else sentences(news),
        strips=days,
        chart=chart,
        by_day=by_day(ledger),
        lines=lines,
        levels=levels,
        levels_first=_levels_first(lines, levels),
        more_levels=_more(ledger.levels),
        checks=_checks(ledger),
        began=began,
        older=_older(ledger),
        losses=_losses(ledger),
        steps=_steps(ledger),
        legend=_LEGEND,
        derived=_DERIVED if _has_derived(ledger) else "",
        foot=foot,
        links=_safe(links),
        promises=Markup(promises),  # noqa: S704  # ours
    )
    return INLINER.inline(page)


def _levels_first(lines: Sequence[_Line], levels: Sequence[_Level]) -> bool:
    """Return whether coarser levels stand above the orgs: where these are well, and one of those is not."""
    return any(level.word != "ok" for level in levels) and all(line.word == "ok" for line in lines)


def _since(news: News | None) -> str:
    if news is None or news.since is None:
        return "What is new"
    before = "the last report" if news.whole else "the last run of a day before"
    return f"Since {before}, {short_time(news.since)} UTC"


def _safe(links: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the links that lead to a web page; ``javascript:`` and the like do not."""
    return [(clean(text, _NAME), url) for text, url in links if is_web(url)]


def _text(
    ledger: Ledger,
    said: Verdict,
    lines: Sequence[_Line],
    levels: Sequence[_Level],
    days: Strips | None,
    news: News | None,
    foot: str,
    links: Sequence[tuple[str, str]],
    began: Sequence[str],
) -> str:
    first, coarser = _levels_first(lines, levels), tuple(_text_levels(ledger, levels))
    blocks = [
        wrap(f"{clean(ledger.environment, _NAME)} - {clean(ledger.pipeline, _NAME)} - {ledger.interval}"),
        [f"{name}: {value}{f' ({why})' if why else ''}" for name, value, why in _totals(ledger)],
        wrap(f"{said.word.upper()}: {clean(said.sentence, 2 * _SENTENCE)}"),
        [] if news is None else _listed(_since(news), (f"{word}: {what}" for word, what in sentences(news))),
        *(coarser if first else ()),
        _text_table(_headings(ledger), lines, many=by_day(ledger)),
        *(() if first else coarser),
        []
        if days is None
        else [f"What is not well, {days.title}:", *days.text("Org", _TEXT_NAME), *wrap(days.legend(plain=True))],
        _listed("Notes", ((line.notes if line.rest else f"{line.org}: {line.notes}") for line in lines if line.notes)),
        _listed("Since when", began),
        _listed("Still wrong in older partitions", _older(ledger)),
        _step_table(ledger),
        _listed("Known losses", _losses(ledger)),
        _listed("Stages", (f"{word}: {sentence}" for word, sentence in _checks(ledger))),
        [f"{text}: {url}" for text, url in _safe(links)],
        wrap(" ".join(filter(None, (_LEGEND, _DERIVED if _has_derived(ledger) else "", foot)))),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _step_table(ledger: Ledger) -> list[str]:
    steps = _steps(ledger)
    rows = [[clean(s.name, _TEXT_NAME), s.number, "#" * round(s.bar / 4), s.change or "-"] for s in steps]
    return ["From stage to stage:", *table(("Stage", "All orgs", "", "Than the first"), rows, left=1)] if steps else []


def _text_levels(ledger: Ledger, levels: Sequence[_Level]) -> Iterator[list[str]]:
    """Yield the blocks on coarser levels: of each a sentence, then its table and remarks, where there are any."""
    for place, level in enumerate(levels):
        yield [
            *(["Coarser levels:"] if place == 0 else []),
            *wrap(f"- {level.title}: {level.word}: {level.said}", "  "),
        ]
        yield _text_table(level.headings, level.lines, many=level.by_day)
        notes = [f"{line.org}: {line.notes}" for line in level.lines if line.notes]
        yield [line for entry in (*notes, *filter(None, [level.more])) for line in wrap(f"- {entry}", "  ")]
    yield _more(ledger.levels)


def _text_table(columns: Sequence[_Heading], lines: Sequence[_Line], *, many: bool) -> list[str]:
    if not lines:
        return []
    names = ["Verdict", "Org", *(["Day"] if many else [])]
    headings = [f"{heading.text} (derived)" if heading.derived else heading.text for heading in columns]
    rows = []
    for line in lines:
        numbers = (text.replace(_DASH, "-") for text, _ in line.cells)
        rows.append([line.word, clean(line.org, _TEXT_NAME), *([line.day] if many else []), *numbers])
    return table([*names, *headings], rows, left=len(names))


def _listed(title: str, entries: Iterable[str]) -> list[str]:
    lines = [line for entry in entries for line in wrap(f"- {entry}", "  ")]
    return [f"{title}:", *lines] if lines else []


def _has_derived(ledger: Ledger) -> bool:
    return any(column.derived for column in ledger.columns)
