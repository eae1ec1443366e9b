"""The discrepancy report: what it says, that it is safe, and how it looks in a real browser."""

import struct
from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Column, Rest
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.reports.attainment import report
from dq.reports.attainment_html import section
from dq.reports.discrepancy import MAX_BYTES, MAX_ROWS, render, share_text
from dq.reports.news import News
from dq.reports.trend import Day, Seen, Trend, days_until
from tests import chromium, promised, render_png
from tests.ledgers import DAY, NOW, agari, beside, columns, ledger, row
from tests.screens import CONTRAST, TOO_WIDE
from tests.servers import require_program

DOCS = Path(__file__).parent.parent / "docs"
DASH = "\N{EN DASH}"
NASTY = "<script>alert(1)</script>"
REGIONS = [f"region {n}" for n in range(1, 22)]


class Page(HTMLParser):
    """What a report shows: the cells of its ledger, its text and its tags; the labels for phones are left out."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.rows, self.classes, self._text, self._open = [], [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag in {"meta", "br"}:
            return
        self._open.append((tag, (dict(attrs).get("class") or "").split()))
        if tag == "tr" and not any("steps" in classes for _, classes in self._open):
            self.rows.append([])
            self.classes.append(self._open[-1][1])
        if tag in {"th", "td"} and not any("steps" in classes for _, classes in self._open):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag, "the tags are not balanced"

    def handle_data(self, data):
        if any(tag in {"style", "i"} for tag, _ in self._open):
            return
        self._text.append(data)
        if any(tag in {"th", "td"} for tag, _ in self._open) and not any("steps" in c for _, c in self._open):
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self._text).split())


def listed(made):
    """Return the ledger of a report as lists of cells, without its head."""
    return [[" ".join(cell.split()) for cell in cells] for cells in Page(made.html).rows[1:]]


def well(count):
    return [row(name, {"Regions": 100, "Provinces": 100}) for name in REGIONS[:count]]


def bad(count, severity=Severity.CRITICAL):
    return [row(f"bad {n}", {"Regions": 100, "Provinces": 88}, severity=severity) for n in range(count)]


def summary(outcome, severity=None, check="Provinces", orgs=None, sentence="the sentence of it"):
    return Result(check=check, outcome=outcome, severity=severity, sentence=sentence, orgs=orgs)


# ---------------------------------------------------------------------------------------------------- the published day

AGARI_HEAD = [
    "Org", "Collector Msgs", "Agg Msgs", "DB Msgs", "Discrepancy", "Discr %",
    "NRT DB Msgs", "NRT Discrepancy", "NRT Discr %", "Skippedderived", "Notes",
]  # fmt: skip
AGARI_ROWS = """
    1    340    266    266 0 0.0 340    -74 -21.8   74
    5  43115  43115  43115 0 0.0 358  42757  99.2    0
    6    156    153    153 0 0.0   0    153  98.1    3
    7     73     68     68 0 0.0   0     68  93.2    5
   12    315    111    111 0 0.0   0    111  35.2  204
   14  35648  28731  28731 0 0.0   0  28731  80.6 6917
   16  35383  34010  34010 0 0.0   0  34010  96.1 1373
   25  20530  20530  20530 0 0.0   0  20530 100.0    0
   54  30003  26190  26190 0 0.0   0  26190  87.3 3813
   56 108084 108080 108080 0 0.0   0 108080 100.0    4
"""


def test_the_published_day_is_shown_as_it_was_published():
    expected = {cells[0]: cells[1:] for cells in map(str.split, AGARI_ROWS.strip().splitlines())}
    made = render(agari(), now=NOW)
    page = Page(made.html)
    assert page.rows[0] == AGARI_HEAD
    assert {cells[0].split()[0]: cells[1:-1] for cells in listed(made)} == expected
    assert made.subject == "EP_PROD - collector to database - 2016-04-28: 8 of 10 orgs differ (critical)"
    assert page.text.startswith(
        f"{made.subject} EP_PROD · discrepancy report collector to database"
        " Day 2016-04-28 RDAs 22058 messages 261254 critical 8 of 10 orgs differ"
    )
    assert "the worst is org 56: 108080 missing (100.0 %) at NRT DB Msgs." in page.text
    assert "Derived: computed from the same stages, so it explains nothing by itself." in page.text
    for number in ("RDAs: 22058", "messages: 261254"):
        assert number in made.text
    told = {
        line.split()[1]: line.split()[2:]
        for line in made.text.splitlines()
        if line.startswith(("ok ", *map(str, Severity)))
    }
    assert told == expected


def test_the_text_twin_is_what_it_was():
    made = render(agari(), now=NOW, links=(("Runbook", "https://wiki.example.com/lost?a=1&b=2"),))
    assert made.text == (Path(__file__).parent / "data" / "agari_report.txt").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- the verdict

UNMEASURED = summary(Outcome.UNMEASURED, Severity.ERROR)
NRT_LOST = summary(Outcome.UNMEASURED, Severity.ERROR, check="NRT")
EMPTY = summary(Outcome.NO_DATA, Severity.CRITICAL, orgs=0)
GOOD = summary(Outcome.PASS, orgs=21)
BAD = summary(Outcome.FAIL, Severity.CRITICAL, orgs=1)
OFF = row("off", {"Regions": 100, "Provinces": 99})
MISSING = Result(
    check="Provinces",
    outcome=Outcome.NO_DATA,
    severity=Severity.ERROR,
    group=Group(("region",), ("gone",)),
    sentence="no rows of gone",
)


@pytest.mark.parametrize(
    ("rows", "results", "word", "verdict"),
    [
        (well(21), None, "ok", "all 21 orgs agree"),
        (well(1), None, "ok", "the one org agrees"),
        ([*well(20), OFF], None, "ok", "all 21 orgs within tolerance, 1 differs"),
        ([OFF], None, "ok", "the one org differs within tolerance"),
        ([*bad(1), *well(20)], None, "critical", "1 of 21 orgs differs (critical)"),
        (bad(1, Severity.ERROR), None, "error", "the one org differs (error)"),
        ([*bad(2, Severity.WARNING), *well(19)], None, "warning", "2 of 21 orgs differ (warning)"),
        ([*bad(1), *well(19), OFF], None, "critical", "1 of 21 orgs differs (critical)"),
        ([], [UNMEASURED], "unmeasured", "could not be measured"),
        (well(21), [UNMEASURED], "unmeasured", "could not be measured"),
        (well(21), [GOOD, NRT_LOST], "unmeasured", "NRT could not be measured"),
        ([*bad(1), OFF], [GOOD, NRT_LOST], "critical", "1 of 2 orgs differs (critical), NRT could not be measured"),
        ([], [EMPTY], "no data", "no rows (critical)"),
        ([], [evolve(EMPTY, severity=None)], "no data", "no rows"),
        ([], [], "no data", "no rows"),
        (well(21), [EMPTY], "no data", "nothing to compare at Provinces (critical)"),
        (well(2), [summary(Outcome.NO_DATA, Severity.ERROR, orgs=3), MISSING], "error", "1 of 3 orgs differs (error)"),
        # a severity that no row explains is told all the same
        (well(21), [summary(Outcome.FAIL, Severity.ERROR, orgs=21)], "error", "not well (error)"),
    ],
)  # fmt: skip
def test_the_subject_tells_environment_pipeline_day_and_verdict(rows, results, word, verdict):
    severity = max((r.severity for r in (*rows, *(results or ())) if r.severity is not None), default=None)
    made = render(ledger(rows, results=results, severity=severity))
    assert made.subject == f"EP_PROD - covid regions - 2024-06-26: {verdict}"
    assert f"\n{word.upper()}: " in made.text
    assert f" {word} " in Page(made.html).text
    if results is not None:
        assert "agree" not in made.subject, "a part is unknown"


def level(title, rows, results):
    worst = max((r.severity for r in results if r.severity is not None), default=None)
    return evolve(ledger(rows, results=results), pipeline=f"covid regions {title}", severity=worst)


@pytest.mark.parametrize(
    ("rows", "levels", "word", "verdict"),
    [
        (well(9), [level("of all", well(1), [GOOD])], "ok", "all 9 orgs agree"),
        (
            well(2),
            [level("of all", bad(1), [BAD])],
            "critical",
            "all 2 orgs agree, of all the one org differs (critical)",
        ),
        (
            bad(1, Severity.ERROR),
            [level("by region", [*bad(1), *well(1)], [BAD]), level("of all", well(1), [GOOD])],
            "critical",
            "the one org differs (error), by region 1 of 2 orgs differs (critical)",
        ),
        (well(9), [level("of all", [], [UNMEASURED])], "error", "all 9 orgs agree, of all could not be measured"),
    ],
)
def test_the_subject_tells_of_coarser_levels(rows, levels, word, verdict):
    """Their checks are called otherwise than those of the orgs."""
    levels = [
        evolve(one, results=tuple(evolve(r, check=f"{r.check} {one.pipeline[14:]}") for r in one.results))
        for one in levels
    ]
    own = (evolve(GOOD, orgs=len(rows)),)
    results = (*own, *(r for one in levels for r in one.results))
    worst = max((r.severity for r in (*rows, *results) if r.severity is not None), default=None)
    made = render(ledger(rows, results=results, severity=worst, levels=tuple(levels)))
    assert made.subject == f"EP_PROD - covid regions - 2024-06-26: {verdict}"
    told = made.text[made.text.index(f"\n{word.upper()}: ") :].partition("\n\n")[0]
    for said in verdict.split(", ")[1:]:
        assert said[1:] in told, "the sentence at the top tells of it, too"
    assert all(r.check in made.text for r in results)


CANCELS = [*bad(1), row("more", {"Regions": 88, "Provinces": 100})]
"""Orgs that are not well, while nothing is lost from stage to stage."""


def levelled(*levels, rows=(), **more):
    """Return a ledger with coarser levels: title and rows of each."""
    made = []
    for title, found in levels:
        result = BAD if any(one.severity for one in found) else GOOD
        made.append(level(title, found, [evolve(result, check=f"Provinces {title}")]))
    return ledger(rows or well(3), levels=tuple(made), **more)


def tables_of(made):
    """Return the tables of a report, each as lists of cells."""
    tables = []
    for cells in Page(made.html).rows:
        if cells[:1] == ["Org"]:
            tables.append([])
        tables[-1].append([" ".join(cell.split()) for cell in cells])
    return tables


def test_each_coarser_level_shows_its_worst_rows_and_one_that_is_well_is_a_line():
    north = row("north", {"Regions": 300, "Provinces": 270}, severity=Severity.CRITICAL, notes=("lost at night",))
    south = row("south", {"Regions": 80, "Provinces": 82}, severity=Severity.ERROR)
    made = render(levelled(("by region", [south, north, *well(2)]), ("of all", well(1)), rows=CANCELS))
    _, table, *others = tables_of(made)
    assert table == [
        ["Org", "Regions", "Provinces", "Discrepancy", "Discr %", "Notes"],
        ["north critical", "300", "270", "30", "10.0", "lost at night"],
        ["south error", "80", "82", "-2", "-2.5", ""],
    ]
    assert not others
    assert "critical by region: 2 of 4 orgs differ (critical)" in Page(made.html).text
    assert "ok of all: the one org agrees" in Page(made.html).text
    told = made.text[made.text.index("Coarser levels:") :].partition("\n\nStages")[0].splitlines()
    assert told == [
        "Coarser levels:",
        "- by region: critical: 2 of 4 orgs differ (critical)",
        "",
        "                                                  Discr",
        "Verdict   Org    Regions  Provinces  Discrepancy      %",
        "--------  -----  -------  ---------  -----------  -----",
        "critical  north      300        270           30   10.0",
        "error     south       80         82           -2   -2.5",
        "",
        "- north: lost at night",
        "",
        "- of all: ok: the one org agrees",
    ]
    assert "Coarser" not in render(ledger(well(3))).html + render(ledger(well(3))).text


def test_levels_stand_above_the_orgs_where_only_they_are_not_well():
    bad_level, good_level = ("by region", bad(1)), ("by region", well(2))
    for rows, one, first in ((well(3), bad_level, True), (bad(1), bad_level, False), (well(3), good_level, False)):
        made = render(levelled(one, rows=rows), news=News(since=NOW))
        text = Page(made.html).text
        assert text.count("All orgs, worst first") == text.count("Coarser levels") == 1
        assert (text.index("Coarser levels") < text.index("All orgs, worst first")) is first
        org = "\ncritical  bad 0" if rows[0].severity else "\nok "
        assert (made.text.index("Coarser levels:") < made.text.index(org)) is first


def test_ten_rows_of_a_level_are_listed_and_the_others_are_counted():
    for count, more in (10, ""), (11, "and 1 more"), (300, "and 290 more"):
        made = render(levelled(("by region", [*well(9), *bad(count)]), rows=CANCELS))
        _, (_, *listed_rows) = tables_of(made)
        assert len(listed_rows) == 10
        for text in (made.text, Page(made.html).text):
            assert "by region" in text
            assert ("and 1 more" in text, "and 290 more" in text) == ("1 " in more, "290" in more)
    many = render(levelled(*((f"by c{n}", well(2)) for n in range(15))))
    assert many.text.count("all 2 orgs agree") == Page(many.html).text.count("all 2 orgs agree") == 12
    assert "and 3 more" in many.text and "and 3 more" in Page(many.html).text


def test_a_level_of_several_days_has_their_column():
    days = [Interval.of_day("2024-06-26"), Interval.of_day("2024-06-27")]
    whole = Interval(days[0].start, days[1].end)
    rows = [
        row("r", {"Regions": 9, "Provinces": n}, severity=Severity.ERROR, interval=day) for n, day in enumerate(days)
    ]
    found = levelled(("by region", rows), rows=rows, interval=whole)
    made = render(evolve(found, levels=tuple(evolve(one, interval=whole) for one in found.levels)))
    first, second = tables_of(made)
    assert first == second
    assert [cells[1] for cells in second] == ["Day", "2024-06-26", "2024-06-27"]


def test_why_it_could_not_be_measured_is_told():
    made = render(
        ledger([], results=[evolve(UNMEASURED, sentence="could not be measured: the connection was refused")])
    )
    assert "Could not be measured: the connection was refused." in made.text
    assert "Could not be measured: the connection was refused." in Page(made.html).text


def test_a_table_without_rows_has_no_heading():
    news = News(since=NOW)
    for rows, titles in ([], 0), (well(1), 1):
        assert Page(render(ledger(rows, results=[EMPTY]), news=news).html).text.count("All orgs") == titles


def test_a_subject_is_one_line_whatever_the_names_are():
    made = render(evolve(ledger(well(1)), pipeline="a\r\nBcc: x@example.com\u2028\x00" + "p" * 300, environment="E\nP"))
    assert made.subject.splitlines() == [made.subject]
    assert len(made.subject) <= 250
    assert made.subject.endswith("2024-06-26: the one org agrees")


# ------------------------------------------------------------------------------------------------------------- the rows


def test_the_worst_orgs_stand_first_and_say_so_in_a_word_and_a_colour():
    rows = [
        *well(1),
        *bad(1, Severity.INFO),
        *bad(1, Severity.CRITICAL),
        *bad(1, Severity.WARNING),
        *bad(1, Severity.ERROR),
    ]
    made = render(ledger(rows))
    words = ["critical", "error", "warning", "info", "ok"]
    page = Page(made.html)
    assert [cells[0].split()[-1] for cells in listed(made)] == words
    assert page.classes[1:] == [["row", word, f"is-{word}"] for word in words]
    backgrounds = [
        style.rpartition("background:")[2]
        for name, style in page.attributes
        if name == "style" and "1px solid #e3e6ea;back" in style
    ]
    assert len(set(backgrounds)) == len(backgrounds) == 4
    assert [line.split()[0] for line in made.text.splitlines() if line.endswith((" 12.0", "  0.0"))] == words


def test_what_is_odd_is_shown_as_what_it_is():
    rows = [
        row(
            "only there",
            {"Regions": None, "Provinces": 7},
            severity=Severity.ERROR,
            notes=("absent at Regions", "ask Ann"),
        ),
        row("lost", {"Regions": 5, "Provinces": None}, severity=Severity.ERROR),
        row(None, {"Regions": 3, "Provinces": 3}),
        row("", {"Regions": 0, "Provinces": 0}),
        row(f"Südtirol {DASH} 南", {"Regions": 10**12, "Provinces": 10**12}),
    ]
    made = render(ledger(rows))
    assert listed(made) == [
        ["only there error", DASH, "7", "-7", "n/a", "absent at Regions; ask Ann"],
        ["lost error", "5", DASH, "5", "100.0", "no count at Provinces"],
        ["(no region) ok", "3", "3", "0", "0.0", ""],
        ["(empty) ok", "0", "0", "0", "0.0", ""],
        [f"Südtirol {DASH} 南 ok", "1000000000000", "1000000000000", "0", "0.0", ""],
    ]
    lines = made.text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("error"))
    assert [line.split() for line in lines[start : start + 2]] == [
        ["error", "only", "there", "-", "7", "-7", "n/a"],
        ["error", "lost", "5", "-", "5", "100.0"],
    ]
    assert "- only there: absent at Regions; ask Ann" in lines


def test_an_expected_org_that_no_stage_has_is_a_row():
    made = render(
        ledger(well(2), results=[summary(Outcome.NO_DATA, Severity.ERROR, orgs=3), MISSING], severity=Severity.ERROR)
    )
    assert listed(made)[0] == ["gone error", DASH, DASH, DASH, DASH, "no rows of gone"]
    assert "the worst is org gone: no rows of gone." in made.text


def test_a_small_share_is_not_said_to_be_none():
    made = render(ledger([row("Lazio", {"Regions": 10**6, "Provinces": 10**6 - 12}, severity=Severity.ERROR)]))
    assert "the worst is org Lazio: 12 missing (under 0.1 %) at Provinces." in " ".join(made.text.split())


def test_sums_that_are_no_whole_numbers_are_shown_exactly():
    one = row("a", {"Regions": 2, "Provinces": 1})
    one = evolve(
        one,
        counts={"Regions": Decimal("1234567890123.10"), "Provinces": Decimal("1E+3")},
        discrepancy={"Provinces": Decimal("-0.5")},
    )
    assert listed(render(ledger([one])))[0][1:4] == ["1234567890123.10", "1000", "-0.5"]


def test_fifty_rows_are_listed_and_the_others_are_summed_up():
    rows = [*bad(3), *(row(f"org {n}", {"Regions": 10, "Provinces": 10}) for n in range(170))]
    made = render(ledger(rows))
    assert len(listed(made)) == 51
    assert listed(made)[-1] == ["123 others ok", "1230", "1230", "0", "0.0", "and 123 other orgs agree"]
    assert "- and 123 other orgs agree" in made.text.splitlines()
    assert len(listed(render(ledger(rows[:50])))) == 50
    assert listed(render(ledger(rows[:51])))[-1][-1] == "and 1 other org agrees"


def test_the_others_are_not_said_to_agree_when_they_do_not():
    made = render(ledger([*bad(60, Severity.ERROR), OFF]))
    assert listed(made)[-1] == [
        "11 others error",
        "1100",
        "979",
        "121",
        "11.0",
        "and 11 other orgs, 10 of them not well",
    ]
    made = render(ledger([*well(21), OFF, row("more", {"Regions": None, "Provinces": 1})]), max_rows=21)
    assert listed(made)[-1] == ["2 others ok", "100", "100", "0", "0.0", "and 2 other orgs within tolerance"]


def test_several_partitions_get_a_column():
    days = list(Interval(DAY.start, DAY.start + timedelta(days=3)).days())
    rows = [
        row("a", {"Regions": 10, "Provinces": 9 - i}, severity=Severity.ERROR, interval=day)
        for i, day in enumerate(days[:2])
    ]
    rows.append(row("a", {"Regions": 10, "Provinces": 10}, interval=days[2]))
    made = render(ledger(rows, interval=Interval(days[0].start, days[-1].end)))
    assert made.subject == "EP_PROD - covid regions - 2024-06-26..2024-06-28: 2 of 3 org-days differ (error)"
    assert Page(made.html).rows[0][:2] == ["Org", "Day"]
    assert [cells[1] for cells in listed(made)] == ["2024-06-26", "2024-06-27", "2024-06-28"]
    assert "the worst is org a on 2024-06-26: 1 missing (10.0 %) at Provinces." in " ".join(made.text.split())
    assert "Day" not in Page(render(ledger(well(2))).html).rows[0]


def test_totals_checks_and_older_partitions_are_told():
    totals = [("files", 12, ""), ("messages", None, "the connection was refused"), ("amount", Decimal("0.50"), "")]
    older = [(Interval.of_day("2024-06-20"), "2 orgs differ"), (Interval.of_day("2024-06-19"), "no rows")]
    results = [summary(Outcome.PASS, orgs=21, sentence="all 21 orgs agree"), NRT_LOST]
    made = render(
        ledger(well(21), results=results, totals=totals, still_bad=tuple(older), severity=Severity.ERROR), now=NOW
    )
    text = Page(made.html).text
    assert "files 12 messages not measured the connection was refused amount 0.50" in text
    assert "Still wrong in older partitions 2024-06-20: 2 orgs differ 2024-06-19: no rows" in text
    assert "Stages unmeasured NRT: the sentence of it ok Provinces: all 21 orgs agree" in text
    assert "Made 2024-06-27 05:00 UTC" in text
    for line in (
        "files: 12", "messages: not measured (the connection was refused)", "amount: 0.50",
        "- 2024-06-20: 2 orgs differ", "- unmeasured: NRT: the sentence of it", "- ok: Provinces: all 21 orgs agree",
    ):  # fmt: skip
        assert line in made.text.splitlines()
    assert "Derived" not in text
    assert "Made" not in Page(render(ledger(well(1))).html).text


def test_long_lists_say_that_they_go_on():
    days = Interval(DAY.start - timedelta(days=100), DAY.start).days()
    results = [*[GOOD] * 12, summary(Outcome.FAIL, Severity.INFO), *[GOOD] * 20]
    totals = [(f"total {n}", n, "") for n in range(15)]
    made = render(ledger(well(1), still_bad=tuple((day, "bad") for day in days), results=results, totals=totals))
    for line in ("- and 88 more", "- ok: and 21 more", "further totals: and 3 more"):
        assert line in made.text.splitlines()
    text = Page(made.html).text
    assert "and 88 more" in text
    assert "ok and 21 more" in text
    assert "further totals and 3 more" in text


# ---------------------------------------------------------------------------------------------------------- the numbers


@given(st.fractions(min_value=-10, max_value=10))
def test_a_share_is_rounded_from_its_exact_value(share):
    exact = Decimal(share.numerator * 100) / Decimal(share.denominator)  # 28 digits: enough to be right here
    rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_EVEN)
    if abs(exact - rounded) < Decimal("0.0499999"):
        assert Decimal(share_text(share)) == rounded
    assert share_text(share).count(".") == 1


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Fraction(-74, 340), "-21.8"), (Fraction(42757, 43115), "99.2"), (Fraction(0), "0.0"), (None, "n/a"),
        (Fraction(-1, 10**9), "0.0"), (Fraction(5, 10_000), "0.0"), (Fraction(15, 10_000), "0.2"),
        (Fraction(-25, 10_000), "-0.2"), (Fraction(1), "100.0"), (Fraction(-(10**9)), "-100000000000.0"),
    ],
)  # fmt: skip
def test_shares(share, text):
    assert share_text(share) == text


# --------------------------------------------------------------------------------------------------------------- safety


def hostile():
    """Return a ledger in which every text that is not dq's own tries something."""
    long = "x" * 200
    evil = [
        NASTY,
        long,
        '"><img src=x onerror=alert(1)>',
        "{{ 7 * 7 }}{% raw %}",
        "a\u202eb\x1b[31mc\x00",
        "</td></tr></table>",
        "&lt;b&gt;",
    ]
    rows = [row(name, {NASTY: 100, long: 1}, severity=Severity.CRITICAL, notes=(name, name)) for name in evil]
    shown = tuple(
        evolve(column, heading=NASTY if column.kind == "count" else column.heading) for column in columns(NASTY, long)
    )
    results = [
        Result(check=NASTY, outcome=Outcome.FAIL, severity=Severity.CRITICAL, sentence=f"{NASTY} {long}", orgs=6)
    ]
    return ledger(
        rows, shown=(*shown, Column(kind="explained", name=NASTY, heading=long, derived=True)), results=results,
        totals=[(NASTY, None, NASTY), (long, 3, "")], still_bad=((DAY, NASTY + long),), pipeline=NASTY,
        environment=NASTY,
    )  # fmt: skip


LINKS = ((NASTY, "https://example.com/?a=<b>&c='d'"), ("bad", "javascript:alert(1)"), ("worse", "data:text/html,x"))


def test_nothing_in_a_report_is_markup_but_its_own():
    page = Page(render(hostile(), links=LINKS).html)
    plain = Page(render(agari(), links=(("a", "https://example.com/"),)).html)
    assert set(page.tags) <= {*plain.tags, "small"}
    assert not {"script", "img", "iframe", "link", "object", "form", "svg", "base"} & set(page.tags)
    assert {name for name, _ in page.attributes} <= {name for name, _ in plain.attributes}
    assert [value for name, value in page.attributes if name == "href"] == ["https://example.com/?a=<b>&c='d'"]
    assert page.text.count(NASTY) > 5
    assert "{{ 7 * 7 }}{% raw %}" in page.text


def test_a_report_asks_the_network_for_nothing_and_runs_nothing():
    html = render(agari(), now=NOW).html
    for word in ("http:", "https:", "url(", "@import", "src=", "<script", "<img", "<link", "javascript:", "onload"):
        assert word not in html


def test_control_and_direction_characters_do_not_pass():
    made = render(hostile())
    for text in (made.subject, made.html, made.text):
        assert not set(text) & {"\x1b", "\x00", "\u202e", "\r"}
    assert "a\ufffdb\ufffd[31mc\ufffd" in made.text


@settings(max_examples=15)
@given(st.integers(0, 120), st.integers(1, 14), st.sampled_from(["x", "<", "&", '"', "南", "é", "\x00", " a"]))
def test_a_report_stays_under_the_size_at_which_mail_is_cut(count, stages, character):
    names = [f"stage {n} " + character * 60 for n in range(stages + 1)]
    rows = [
        row(
            f"{n}{character * 250}", dict.fromkeys(names, 10**15 + n), notes=(character * 500,), severity=Severity.ERROR
        )
        for n in range(count)
    ]
    results = [summary(Outcome.FAIL, Severity.ERROR, check=character * 200, sentence=character * 5000, orgs=count)] * 60
    made = render(
        ledger(rows, shown=columns(*names), results=results, still_bad=((DAY, character * 5000),) * 60), now=NOW
    )
    assert len(made.html.encode()) < MAX_BYTES
    assert f"{len(rows)} of {len(rows)} org" in made.subject or len(rows) < 2
    shown = listed(made)
    if count > len(shown):
        assert shown[-1][-1].startswith(f"and {count - len(shown) + 1} other orgs")


LENGTHS = st.integers(0, 500)
CHARACTERS = st.sampled_from(["x", "<", "&", '"', "南", "é", "\x00", " a", "\u202e", "{{", "\U0001f4a5"])


@settings(max_examples=8, deadline=None, phases=(Phase.generate,))  # to shrink ten thousand orgs takes minutes
@given(st.sampled_from([3, 51, 10_000]), st.integers(1, 6), LENGTHS, CHARACTERS, LENGTHS, CHARACTERS, st.booleans(),
       st.sampled_from([0, 1, 3, 20]))  # fmt: skip
def test_the_mail_has_its_size_whatever_the_orgs_stages_and_names_are(
    count, stages, long, one, wide, other, promising, levels
):
    names = [f"{n}{other * wide}" for n in range(stages + 1)]
    rows = [
        row(f"{n}{one * long}", dict.fromkeys(names, 10**12 + n), notes=(one * long,), severity=Severity(n % 4 + 1))
        for n in range(count)
    ]
    found = ledger(rows, shown=columns(*names), pipeline=one * long, still_bad=((DAY, one * long),) * 60)
    found = evolve(
        found, levels=tuple(evolve(found, pipeline=f"{found.pipeline} {n}{other * wide}") for n in range(levels))
    )
    promises = report(promised.team(), promised.NOW) if promising else None
    made = render(found, now=NOW, promises=promises, **beside(found))
    assert len(made.html.encode()) < MAX_BYTES, "Gmail cuts what is longer than 102 kB"
    shown = made.html.partition("Promises kept")[0].partition("Coarser levels")[0].count('<tr class="row ')
    assert f"and {count - shown + 1} other org" in made.html or shown == count
    assert len(made.subject) <= 250


def test_fifty_orgs_of_six_stages_with_their_days_fit_into_a_mail():
    names = ["collector", *(f"stage {n}" for n in range(1, 7))]
    rows = [
        row(f"org {n:05}", dict.fromkeys(names, 10**6 + n), explained={}, severity=Severity.ERROR)
        for n in range(10_000)
    ]
    found = ledger(rows, shown=columns(*names))
    made = render(found, now=NOW, **beside(found))
    assert len(made.html.encode()) < MAX_BYTES
    page = Page(made.html)
    assert sum("row" in classes for classes in page.classes) == MAX_ROWS + 1
    assert "and 9950 other orgs, 9950 of them not well" in page.text
    assert made.html.count("org 00000") == 4, "in the verdict, in the news, in the table and in the days"


@given(st.lists(st.tuples(st.text(), st.integers() | st.none(), st.integers() | st.none(), st.text()), max_size=5))
def test_any_ledger_becomes_a_report(entries):
    rows = [row(org, {"Regions": a, "Provinces": b}, notes=(note,)) for org, a, b, note in entries]
    made = render(ledger(rows))
    assert len(listed(made)) == len(rows)
    made.html.encode()
    assert all(len(line) <= 100 for line in made.text.splitlines()), made.text


# -------------------------------------------------------------------------------------------------------- the text twin


def test_the_text_twin_is_plain_aligned_and_narrow():
    made = render(agari(), now=NOW)
    assert made.text.isascii()
    lines = made.text.splitlines()
    assert max(map(len, lines)) <= 100
    start = next(i for i, line in enumerate(lines) if line.startswith("---"))
    ends = [i for i, c in enumerate(lines[start] + " ") if c == " " and lines[start][i - 1] == "-"]
    for line in lines[start + 1 : start + 11]:
        assert all((line + " ")[end - 1] != " " and (line + " ")[end] == " " for end in ends[2:]), (
            "a column is not aligned"
        )


def test_a_table_that_is_too_wide_is_cut_into_several():
    names = [f"the quite long name of stage {n}" for n in range(12)]
    rows = [row(f"org {n} " + "y" * 90, dict.fromkeys(names, 10**12)) for n in range(3)]
    lines = render(ledger(rows, shown=columns(*names))).text.splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line for line in lines if line.startswith("---")]
    assert len(heads) > 2
    assert sum(line.split().count("1000000000000") for line in lines if line.startswith("ok")) == 3 * 12
    assert sum(line.startswith("ok") for line in lines) == 3 * len(heads)


# ---------------------------------------------------------------------------------------------------------- the browser

SHOWN = "[...document.querySelectorAll('.row td > i')].filter(e => e.getClientRects().length).length"


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    require_program(*chromium.NAMES)
    with chromium.Browser() as opened:
        yield opened


def all_severities():
    rows = [*bad(1), *bad(1, Severity.ERROR), *bad(1, Severity.WARNING), *bad(1, Severity.INFO), *well(2)]
    results = [
        summary(Outcome.FAIL, Severity.CRITICAL), summary(Outcome.UNMEASURED, Severity.ERROR),
        summary(Outcome.NO_DATA, Severity.WARNING), summary(Outcome.PASS), summary(Outcome.SKIP),
        summary(Outcome.FAIL, Severity.INFO),
    ]  # fmt: skip
    return ledger(rows, results=results)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
@pytest.mark.parametrize(
    "made",
    [
        agari, hostile, all_severities, lambda: ledger(well(60)), lambda: ledger([], results=[UNMEASURED]),
        lambda: levelled((f"by {'region' * 20}", [*hostile().rows, *bad(30)]), ("of all", well(1))),
    ],
)  # fmt: skip
def test_it_fits_the_screen_and_can_be_read(browser, made, width, dark):
    found = made()
    browser.show(render(found, now=NOW, links=LINKS, max_rows=20, **beside(found)).html, width=width, dark=dark)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate(CONTRAST) == []
    cells = browser.evaluate("document.querySelectorAll('.row td:not(.none) > i').length")
    assert browser.evaluate(SHOWN) == (cells if width == 360 else 0)
    luminance = browser.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor")
    assert luminance == ("rgb(23, 27, 34)" if dark else "rgb(255, 255, 255)")


def test_on_a_phone_the_numbers_of_an_org_stand_in_rows_of_three(browser):
    browser.show(render(agari()).html, width=360)
    place = "(e => [Math.round(e.getBoundingClientRect().left), Math.round(e.getBoundingClientRect().top)])"
    places = browser.evaluate(
        f"[...document.querySelectorAll('.row')[0].querySelectorAll('td:not(.notes, .none)')].map{place}"
    )
    lefts, tops = [x for x, _ in places], [y for _, y in places]
    assert len(set(lefts[:3])) == 3
    assert lefts == lefts[:3] * 3
    assert tops == sorted(tops)
    assert len(set(tops)) == 3


def test_on_a_phone_an_org_of_which_nothing_differs_leaves_out_the_zeros(browser):
    rows = [*bad(1), *well(1), row("noted", {"Regions": 0, "Provinces": 0}, notes=("closed",)), OFF]
    browser.show(render(ledger(rows)).html, width=360)
    shown = "[...document.querySelectorAll('.row')].map(row => row.innerText.split(/\\s+/).join(' '))"
    assert browser.evaluate(shown) == [
        "bad 0 critical Regions 100 Provinces 88 Discrepancy 12 Discr % 12.0",
        "region 1 ok Regions 100 Provinces 100",
        "noted ok Regions 0 Provinces 0 closed",
        "off ok Regions 100 Provinces 99 Discrepancy 1 Discr % 1.0",
    ]
    left = "[...document.querySelectorAll('.row')[0].querySelectorAll('td')].map(e => e.getBoundingClientRect().left)"
    first, _, _, fourth, *_ = browser.evaluate(left)
    assert first == fourth


def test_no_script_of_an_org_runs(browser):
    browser.show(render(hostile(), links=LINKS).html, width=900)
    assert browser.evaluate("document.querySelectorAll('script, img').length") == 0


def test_what_is_lost_is_drawn_from_stage_to_stage(browser):
    made = render(agari())
    assert "From stage to stage" in made.text
    said = [line.split()[-2:] for line in made.text.splitlines() if line.endswith(" fewer")]
    assert said == [["12393", "fewer"], ["12393", "fewer"], ["272949", "fewer"]]
    browser.show(made.html, width=900)
    widths = browser.evaluate(
        "[...document.querySelectorAll('.bar td:not(.empty)')].map(e => Math.round(e.getBoundingClientRect().width))"
    )
    assert len(widths) == 3 and widths[0] > widths[1] == widths[2] > 100, "a quarter of a percent is none"
    assert "From stage to stage" not in render(ledger(well(3))).text + render(ledger(well(3))).html
    empty = ledger([row("x", {"Regions": 7, "Provinces": None})])
    silent = evolve(empty, results=(summary(Outcome.UNMEASURED),))
    assert "From stage to stage" not in render(silent).text
    assert "7 fewer" in render(empty).text


@pytest.mark.parametrize("width", [360, 900])
def test_the_days_stand_side_by_side_and_their_bars_are_as_high_as_their_numbers(browser, width):
    found = ledger([*bad(1), *well(1)])
    days = [Day(seen=Seen.BAD, severity=Severity.ERROR, share=Fraction(n, 12)) for n in range(13)]
    org = found.rows[0].org
    shown = Trend(days=days_until(DAY.start.date()), rows={org: (Day(seen=Seen.NO_RUN), *days)})
    browser.show(render(found, trend=shown).html, width=width)
    cells = browser.evaluate(
        "[...document.querySelectorAll('.trend tbody td')].map(e => [e.innerText,"
        " getComputedStyle(e).borderBottomWidth, e.getBoundingClientRect().left, e.getBoundingClientRect().bottom])"
    )
    assert [text for text, *_ in cells] == ["\N{EN DASH}", *(day.text for day in days)]
    assert [bar for _, bar, *_ in cells] == ["0px", *(f"{day.high}px" for day in days)]
    lefts, bottoms = [left for *_, left, _ in cells], {round(bottom) for *_, bottom in cells}
    assert lefts == sorted(set(lefts)) and len(bottoms) == 1
    place = "[...document.querySelectorAll('.trend .days td')].map(e => e.getBoundingClientRect().left)"
    heads = browser.evaluate(place)
    assert all(abs(head - left) < 2 for head, left in zip(heads, lefts, strict=True))


def test_promises_stand_below_the_ledger_and_look_as_they_do_alone(browser):
    promises = report(promised.team(), promised.NOW)
    made = render(agari(), now=NOW, promises=promises)
    assert made.html.index("Skipped") < made.html.index("Promises kept") < made.html.index("Missed, newest first")
    assert made.text.index("Skipped") < made.text.index("Promises kept") < made.text.index("Error budgets:")
    assert all(len(line) <= 100 for line in made.text.splitlines())
    looks = (
        "[...document.querySelectorAll('.sla .row, .sla .bar td, .sla .tag, .sla .stat')].map(e => "
        "[getComputedStyle(e).display, getComputedStyle(e).color, getComputedStyle(e).backgroundColor].join())"
    )
    for width in (360, 900):
        browser.show(made.html, width=width)
        inside = browser.evaluate(looks)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        browser.show(f"<!DOCTYPE html>{section(promises, max_rows=10)}", width=width)
        assert inside == browser.evaluate(looks)
        assert len(inside) > 50


def test_the_ledger_has_room_before_the_promises():
    many = [evolve(one, subject=f"{one.subject} {n} {'x' * 70}") for n in range(40) for one in promised.team()]
    rows = [row(f"org {n}", {"Regions": 100, "Provinces": 90}, severity=Severity.ERROR) for n in range(70)]
    alone, both = (render(ledger(rows), promises=p) for p in (None, report(many, promised.NOW)))
    assert len(both.html.encode()) < MAX_BYTES
    assert listed(both)[: len(listed(alone))] == listed(alone)
    assert "and 270 datasets more" in both.text


@pytest.mark.slow
def test_the_pictures_in_the_docs_can_be_made_again(browser, tmp_path):
    for (_, width), path in render_png.write(tmp_path).items():
        for picture in (path, DOCS / path.name):
            data = picture.read_bytes()
            assert data.startswith(b"\x89PNG\r\n\x1a\n")
            wide, high = struct.unpack(">II", data[16:24])
            assert wide == width
            assert high > 600


@pytest.mark.parametrize(
    ("rows", "differing", "short", "note"),
    [
        ([], 0, "all 2000000 orgs agree", "and 2000000 other orgs agree"),
        ([], 3, "all 2000000 orgs within tolerance, 3 differ", "and 2000000 other orgs within tolerance"),
        ([("7", Severity.ERROR)], 3, "1 of 2000001 orgs differs (error)", "and 2000000 other orgs within tolerance"),
    ],
)
def test_of_very_many_orgs_those_that_are_well_are_a_sum(rows, differing, short, note):
    rest = Rest(
        rows=2_000_000, differing=differing, by_day=False, counts={"Regions": 7_000_000, "Provinces": 6_999_990},
        explained={}, discrepancy={"Provinces": 10},
    )  # fmt: skip
    found = [row(org, {"Regions": 5, "Provinces": 4}, severity=severity) for org, severity in rows]
    made = render(ledger(found, rest=rest))
    assert made.subject.endswith(short)
    assert listed(made)[-1] == ["2000000 others ok", "7000000", "6999990", "10", "0.0", note]
    assert f"- {note}" in made.text.splitlines()
    assert f"Regions {7_000_000 + 5 * len(rows)} " in " ".join(made.text.split())  # of the waterfall
