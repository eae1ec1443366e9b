"""The SLA report: what it counts, that it is safe, and how it looks in a real browser."""

import json
import re
import struct
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from dq.model.budget import State
from dq.model.errors import UsageError
from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.model.sla import Sla
from dq.reports.attainment import Attained, Outage, Span, report, rows, text, to_json
from dq.reports.attainment_html import MAX_BYTES, page, section
from dq.reports.heat import Mark, heat, heat_png, mark_of
from dq.sla.budget import budgets
from tests import chromium, promised
from tests.servers import require_program
from tests.test_report import CONTRAST, TOO_WIDE, Page

NOW = datetime(2026, 12, 3, 12, tzinfo=UTC)
DAY, QUARTER = timedelta(days=1), timedelta(minutes=15)
NASTY = '<script>alert("1")</script> & $x_1$ \u202e{{ 7 * 7 }}'


def one(day, answer=Answer.ON_TIME, cadence=DAY, minutes=0, **more):
    """Return the partition that fell due ``day`` days and so many minutes before this morning at six."""
    due = NOW.replace(hour=6) - day * DAY - timedelta(minutes=minutes)
    interval = Interval(due - cadence, due)
    more.setdefault("subject", "orders")
    return Kept(kind="suite", part=str(interval), interval=interval, due_at=due, answer=answer, **more)


def attained(*kept, subject="orders", owner="shop", goal="90%"):
    left = budgets(kept, Sla(due="06:00", on_time=goal), NOW, DAY) if goal else ()
    return Attained(subject=subject, owner=owner, promise="due 06:00 UTC", kept=kept, budgets=left)


EVERYTHING = (
    one(0, Answer.LATE_RUNNING, late=timedelta(hours=6), cause="task load is running"),
    one(1),
    one(2, Answer.DATA_WRONG, wrong=True),
    one(3, Answer.LATE_BUT_DONE, late=timedelta(minutes=5), cause="slow"),
    one(4, Answer.MET_AFTER_MISS, wrong=True, late=timedelta(hours=1), cause="broken"),
    one(5, Answer.EXCUSED, excuse="the move"),
    one(6, Answer.DATA_MISSING, excuse="the move"),
    one(20),
    one(50, Answer.FAILED),
    one(-1, Answer.PENDING),
)


def test_what_came_of_the_promises_is_counted():
    made = report([attained(*EVERYTHING)], NOW)
    (line,) = made.lines
    assert (line.name, line.owner, line.state) == ("orders", "shop", State.SPENT)
    seven, month, quarter = line.spans
    assert seven == Span(days=7, promised=7, in_time=2, late=3, missing=1, wrong=2, excused=2, kept=1)
    assert month == Span(days=28, promised=8, in_time=3, late=3, missing=1, wrong=2, excused=2, kept=2)
    assert quarter == Span(days=90, promised=9, in_time=3, late=4, missing=2, wrong=2, excused=2, kept=2)
    assert [span.attained for span in line.spans] == [Fraction(1, 5), Fraction(2, 6), Fraction(2, 7)]
    assert line.left == 1 - Fraction(3) / Fraction("0.6")
    assert made.total.spans == line.spans


def test_misses_are_told_newest_first_with_their_causes():
    made = report([attained(*EVERYTHING)], NOW)
    assert [(m.due_at.day, m.what, m.late, m.cause) for m in made.misses] == [
        (3, "missing", timedelta(hours=6), "task load is running"),
        (1, "wrong", timedelta(0), ""),
        (30, "late", timedelta(minutes=5), "slow"),
        (29, "late and wrong", timedelta(hours=1), "broken"),
    ]
    assert made.outages == (
        Outage(
            reason="the move", subjects=("orders",), count=2, first=NOW.replace(month=11, day=27, hour=6),
            last=NOW.replace(month=11, day=28, hour=6),
        ),
    )  # fmt: skip


def test_quarters_of_an_hour_that_went_the_same_way_on_one_day_are_one_miss():
    late = [
        one(0, Answer.MET_AFTER_MISS, QUARTER, 15 * n, late=timedelta(minutes=n), cause="slow") for n in range(40)
    ]
    made = report([attained(*late)], NOW)
    assert [(m.count, m.due_at, m.late) for m in made.misses] == [
        (25, NOW.replace(hour=0), timedelta(minutes=24)),
        (15, NOW.replace(day=2, hour=20, minute=15), timedelta(minutes=39)),
    ]
    assert made.heat.rows[0].marks[-3:] == (Mark.NOTHING, Mark.LATE, Mark.LATE)
    assert "- 2026-12-03 00:00 orders: 25 x late, up to 24m; slow" in text(made)


def test_the_worst_stand_first():
    good, bad = [one(n) for n in range(20)], [one(n, Answer.FAILED) for n in range(20)]
    made = report(
        [
            attained(*good, subject="good", owner="b"),
            attained(*good[2:], *bad[:1], subject="one miss", owner="b"),
            attained(*good[3:], *bad[:3], subject="spent", owner="a"),
            attained(*good[9:], *bad[:9], subject="worse", owner="b"),
            attained(*good[12:], *bad[:12], subject="no goal", owner="", goal=None),
            attained(subject="nothing yet", owner="c"),
        ],
        NOW,
    )
    assert [line.name for line in made.lines] == ["worse", "spent", "no goal", "one miss", "good", "nothing yet"]
    assert [row.subject for row in made.heat.rows] == [line.name for line in made.lines]
    assert [(line.owner, line.promise) for line in made.owners] == [
        ("b", "3 datasets"), ("a", "1 dataset"), ("", "1 dataset"), ("c", "1 dataset"),
    ]  # fmt: skip
    assert sum(owner.over(90).promised for owner in made.owners) == made.total.over(90).promised
    assert made.owners[0].left == made.lines[0].left


@pytest.mark.parametrize(
    ("kept", "mark"),
    [
        (one(0), Mark.MET),
        (one(0, wrong=False), Mark.MET),
        (one(0, wrong=True), Mark.WRONG),
        (one(0, Answer.DATA_WRONG), Mark.WRONG),
        (one(0, Answer.LATE_BUT_DONE), Mark.LATE),
        (one(0, Answer.MET_AFTER_MISS), Mark.LATE),
        (one(0, Answer.MET_AFTER_MISS, wrong=True), Mark.WRONG),
        (one(0, Answer.SOURCE_DOWN), Mark.MISSING),
        (one(0, Answer.UNMEASURED, wrong=True), Mark.MISSING),
        (one(0, Answer.EXCUSED), Mark.EXCUSED),
        (one(0, Answer.FAILED, excuse="x"), Mark.EXCUSED),
        (one(0, Answer.PENDING), Mark.WAITS),
        (one(0, Answer.AT_RISK), Mark.WAITS),
    ],
)
def test_marks(kept, mark):
    assert mark_of(kept) is mark


def test_every_answer_has_a_mark_and_the_symbols_differ():
    assert {mark_of(one(0, answer)) for answer in Answer} == set(Mark) - {Mark.NOTHING}
    assert len({mark.symbol for mark in Mark}) == len({mark.words for mark in Mark}) == len(Mark)


def test_of_several_in_one_day_the_worst_counts_and_months_are_crossed():
    kept = [
        one(0, Answer.ON_TIME), one(0, Answer.LATE_BUT_DONE, minutes=15), one(0, Answer.PENDING, minutes=-600),
        one(4, Answer.EXCUSED), one(4, minutes=15), one(27, Answer.FAILED), one(27), one(28, Answer.FAILED),
    ]  # fmt: skip
    shown = heat([("orders", kept)], NOW)
    assert (shown.days[0], shown.days[-4], shown.days[-1]) == (date(2026, 11, 6), date(2026, 11, 30), date(2026, 12, 3))
    assert [(n, m) for n, m in enumerate(shown.rows[0].marks) if m is not Mark.NOTHING] == [
        (0, Mark.MISSING), (23, Mark.EXCUSED), (27, Mark.LATE),
    ]  # fmt: skip
    assert shown.marks == (Mark.EXCUSED, Mark.LATE, Mark.MISSING, Mark.NOTHING)


def test_the_mail_shows_a_letter_and_a_colour_for_each_day():
    shown = Page(page(report([attained(*EVERYTHING)], NOW), "prod"))
    days = next(row for row in shown.rows if row and row[0] == "orders" and len(row) == 29)
    assert days[-8:] == ["\u00b7", "E", "E", "W", "L", "W", "\u2713", "M"]
    grounds = [value for name, value in shown.attributes if name == "bgcolor"]
    assert grounds[21:28] == [Mark.EXCUSED.ground] * 2 + [
        Mark.WRONG.ground, Mark.LATE.ground, Mark.WRONG.ground, Mark.MET.ground, Mark.MISSING.ground,
    ]  # fmt: skip
    assert [row for row in shown.rows if row[0].startswith("6 Nov")] or "6 Nov" in "".join(shown.rows[0])


# ----------------------------------------------------------------------------------------------- as text and as JSON


def test_rows_for_a_terminal():
    made = report([attained(*EVERYTHING), attained(subject="new", owner="", goal=None)], NOW)
    assert rows(made.lines) == [
        ("orders", "shop", "8", "3", "3", "2", "2", "20%", "33.33%", "28.57%", "-400%"),
        ("new", "nobody", "0", "0", "0", "0", "0", "-", "-", "-", "-"),
    ]
    assert rows(made.owners)[0][:2] == ("1 dataset", "shop")
    (all_kept,) = report([attained(one(0), goal="100%")], NOW).lines
    assert rows([all_kept])[0][-1] == "none"
    (broken,) = report([attained(one(0, Answer.FAILED), goal="100%")], NOW).lines
    assert rows([broken])[0][-1] == "broken"


def test_the_text_tells_everything_in_a_hundred_columns():
    said = text(report([attained(*EVERYTHING)], NOW))
    assert max(map(len, said.splitlines())) <= 100
    assert said.startswith("2 of 6 promises kept in 28 days (33.33%); 1 of 1 dataset spent the error budget.\n")
    assert "- orders: error: 3 of 6 partitions in time in 28d (50%, promised 90%)" in said
    assert "- 2026-12-03 06:00 orders: missing, 6h; task load is running" in said
    assert "- 2026-12-01 06:00 orders: wrong; a check failed" in said
    assert "- the move: 2 partitions of orders, due 2026-11-27 06:00 to 2026-11-28 06:00 UTC" in said


def test_json_has_the_documented_keys():
    made = json.loads(json.dumps(to_json(report([attained(*EVERYTHING)], NOW)), allow_nan=False))
    documented = {word.strip("`") for word in to_json.__doc__.replace(",", " ").replace(":", " ").split()
                  if word.startswith("`")}  # fmt: skip

    def keys(value):
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    assert keys(made) - {"7", "28", "90"} <= documented
    assert made["datasets"][0]["days"]["28"] == {
        "promised": 8, "in_time": 3, "late": 3, "missing": 1, "wrong": 2, "excused": 2, "kept": 2, "attained": 1 / 3,
    }  # fmt: skip
    assert made["datasets"][0]["left"] == -4
    assert made["datasets"][0]["budgets"][0]["state"] == "spent"
    assert made["misses"][0] == {
        "subject": "orders", "owner": "shop", "part": made["misses"][0]["part"], "due_at": "2026-12-03T06:00:00+00:00",
        "count": 1, "what": "missing", "late_seconds": 21_600, "cause": "task load is running",
    }  # fmt: skip
    assert made["excused"][0]["subjects"] == ["orders"]
    assert made["heat"]["days"][-1] == "2026-12-03"
    assert made["heat"]["rows"][0]["marks"][-1] == "missing"


def test_nothing_promised_is_a_report_too():
    for made in (report([], NOW), report([attained(one(-1, Answer.PENDING))], NOW)):
        assert made.misses == made.outages == ()
        assert made.total.over(28) == Span(days=28)
        assert text(made).startswith("Nothing that was promised fell due in the last 28 days.")
        assert "Nothing that was promised" in page(made, "prod")
        json.dumps(to_json(made), allow_nan=False)
        assert heat_png(made.heat).startswith(b"\x89PNG")
    excused = report([attained(one(1, Answer.EXCUSED, excuse="x"))], NOW)
    assert text(excused).startswith("Everything that fell due in the last 28 days is excused.")


# ---------------------------------------------------------------------------------------------------------------- HTML


def nasty():
    kept = [
        one(0, Answer.FAILED, cause=NASTY, subject=NASTY),
        one(1, Answer.EXCUSED, excuse=NASTY, subject=NASTY),
    ]  # fmt: skip
    return [evolve(attained(*kept, subject=NASTY, owner=NASTY), promise=NASTY), attained(*kept, subject="W" * 300)]


def test_names_are_text_and_nothing_is_asked_of_the_network():
    html = page(report(nasty(), NOW), NASTY)
    shown = Page(html)
    assert "script" not in shown.tags
    assert "img" not in shown.tags
    assert "link" not in shown.tags
    assert not [value for name, value in shown.attributes if name in {"src", "href", "background"}]
    assert "url(" not in html
    assert "@import" not in html
    assert "\u202e" not in html
    assert "49" not in [cell for row in shown.rows for cell in row]
    assert any('<script>alert("1")</script> & $x_1$' in cell for row in shown.rows for cell in row)
    said = text(report(nasty(), NOW))
    assert "\u202e" not in said
    assert max(map(len, said.splitlines())) <= 100


def many(count=200):
    made = []
    for n in range(count):
        kept = [one(day, Answer.FAILED if n % 7 == day else Answer.ON_TIME, cause="é" * 300) for day in range(90)]
        made.append(attained(*kept, subject=f"warehouse.table_{n:03}", owner=f"team {n % 40}"))
    return made


def test_of_two_hundred_the_worst_are_shown_and_the_rest_is_counted():
    made = report(many(), NOW)
    assert len(made.lines) == 200
    html = section(made)
    assert len(html.encode()) < MAX_BYTES
    shown = [row for row in Page(html).rows if row[0].startswith("warehouse.table")]
    listed = len(shown) // 2
    assert 5 < listed <= 30
    rest = made.lines[listed:]
    kept, promises = sum(s.over(28).kept for s in rest), sum(s.over(28).promised for s in rest)
    assert f"and {200 - listed} datasets more, which kept {kept:,} of {promises:,} promises" in html
    assert len(page(made, "prod").encode()) < 102_000
    assert len(rows(made.lines)) == len(to_json(made)["heat"]["rows"]) == 200


def test_a_section_says_whether_it_may_turn_dark():
    made = report([attained(*EVERYTHING)], NOW)
    assert "prefers-color-scheme" in section(made)
    assert "prefers-color-scheme" not in section(made, dark=False)
    assert section(made).startswith("<div")
    assert "<html" not in section(made)


PARTS = st.builds(
    one, st.integers(-2, 95), st.sampled_from(list(Answer)), minutes=st.integers(-300, 300),
    wrong=st.none() | st.booleans(), excuse=st.sampled_from(["", "x"]), cause=st.text(max_size=9),
    late=st.timedeltas(timedelta(0), timedelta(days=40)),
)  # fmt: skip
SUBJECTS = st.builds(
    lambda kept, subject, owner: attained(*kept, subject=subject, owner=owner),
    st.lists(PARTS, max_size=12), st.text(max_size=12), st.text(max_size=3),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(SUBJECTS, max_size=4))
def test_any_history_becomes_a_report_that_adds_up(made):
    shown = report(made, NOW)
    for line in (*shown.lines, *shown.owners, shown.total):
        for span in line.spans:
            assert span.in_time + span.late + span.excused == span.promised
            assert max(span.missing, span.kept) <= span.promised
            assert span.attained is None or 0 <= span.attained <= 1
    month = shown.total.over(28)
    assert sum(miss.count for miss in shown.misses) == month.promised - month.excused - month.kept
    assert sum(outage.count for outage in shown.outages) == month.excused
    page(shown, "prod").encode()
    json.dumps(to_json(shown), allow_nan=False)
    assert all(len(line) <= 100 for line in text(shown).splitlines())


# ---------------------------------------------------------------------------------------------------------- the picture


@pytest.mark.parametrize("made", [nasty, many, lambda: [attained(*EVERYTHING, subject="南京" * 9)]])
def test_the_picture_is_a_png_as_high_as_it_needs(made):
    shown = report(made(), NOW).heat
    data = heat_png(shown, NASTY)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    wide, high = struct.unpack(">II", data[16:24])
    assert wide > 1_000
    assert high < 5_000
    assert (high > 4_000) == (len(shown.rows) > 100)
    assert heat_png(shown, NASTY) == data


def test_without_matplotlib_a_sentence_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoMatplotlib(), *sys.meta_path])
    with pytest.raises(UsageError, match=r"matplotlib.*pip install 'dq-sla\[plots\]'"):
        heat_png(heat([], NOW))


class _NoMatplotlib:
    """An import system of a machine without plots."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


# ---------------------------------------------------------------------------------------------------------- the browser


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    require_program(*chromium.NAMES)
    with chromium.Browser() as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
@pytest.mark.parametrize("made", [promised.team, nasty, many, list, lambda: [attained(*EVERYTHING)]])
def test_it_fits_the_screen_and_can_be_read(browser, made, width, dark):
    now = promised.NOW if made is promised.team else NOW
    browser.show(page(report(made(), now), "PROD · SLA report"), width=width, dark=dark)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate(CONTRAST) == []
    assert browser.evaluate("document.querySelectorAll('script, img, link').length") == 0


def test_a_section_fits_into_the_card_of_a_mail_whose_styles_are_taken_out(browser):
    html = section(report(promised.team(), promised.NOW), dark=False)
    bare = re.sub(r"(?s)<style.*?</style>", "", html)
    assert bare != html
    browser.show(f'<body><div id="card" style="width:720px">{bare}</div></body>', width=900)
    widths = "[...document.querySelectorAll('#card *')].map(e => e.getBoundingClientRect().width)"
    assert max(browser.evaluate(widths)) <= 720


@pytest.mark.parametrize("width", [360, 900])
def test_all_days_of_a_dataset_stand_in_one_line_below_their_numbers(browser, width):
    browser.show(page(report([attained(*EVERYTHING)], NOW), "prod"), width=width)
    lefts = (
        "(row => [...row.querySelectorAll('td')].map(e => Math.round(e.getBoundingClientRect().left)))"
        "(document.querySelector('.heat {}'))"
    )
    numbers, marks = (browser.evaluate(lefts.format(row)) for row in (".days", "tbody tr"))
    assert len(set(marks)) == len(marks) == 28
    assert all(abs(number - mark) <= 2 for number, mark in zip(numbers, marks, strict=True))
    tops = "new Set([...document.querySelectorAll('.heat tbody td')].map(e => e.getBoundingClientRect().top)).size"
    assert browser.evaluate(tops) == 1
