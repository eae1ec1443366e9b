"""How promises were kept, as people read it: lines, misses, the calendar, the page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from dq.model.budget import Budget
from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.reports.attainment import Attained, calendar, lines, misses, page, percent, to_json
from tests.samples import SLA_REPORT_AT as NOW
from tests.samples import sla_report

DAY = timedelta(days=1)


def kept(days_ago: int, answer: Answer = Answer.ON_TIME, subject: str = "orders", **more) -> Kept:
    due_at = NOW.replace(hour=6) - days_ago * DAY
    interval = Interval.of_day(due_at.date() - DAY)
    return Kept(
        kind="suite", subject=subject, part=str(interval), interval=interval, due_at=due_at, answer=answer, **more
    )


def attained(*found: Kept, subject: str = "orders") -> Attained:
    return Attained(subject=subject, owner="ann", promise="due 06:00 UTC", kept=found)


def test_the_worst_stands_first_and_the_excused_do_not_count() -> None:
    good = attained(*(kept(n, subject="b") for n in range(10)), subject="b")
    bad = attained(kept(0, Answer.NEVER_STARTED), kept(1, Answer.EXCUSED, excuse="x"), kept(2, wrong=True), kept(3))
    empty = attained(subject="c")
    first, second, third = lines([empty, good, bad], NOW, 28)
    assert [line.of.subject for line in (first, second, third)] == ["orders", "b", "c"]
    assert first.counts == {"missing": 1, "excused": 1, "wrong": 1, "in time": 1}
    assert (first.promised, first.share) == (3, 2 / 3)
    assert (third.promised, third.share) == (0, None)
    assert lines([good], NOW, 5)[0].promised == 5
    assert [percent(share) for share in (None, 1, 0.99996, 0.5)] == ["-", "100%", "99.99%", "50%"]


def test_misses_are_the_newest_first_with_their_causes() -> None:
    found = misses(
        [
            attained(kept(3, Answer.MET_AFTER_MISS, cause="its run failed"), kept(1)),
            attained(kept(1, Answer.EXCUSED, "users", excuse="the lake moved"), subject="users"),
        ],
        NOW,
        28,
    )
    assert [(one.subject, one.excuse or one.cause) for one in found] == [
        ("users", "the lake moved"),
        ("orders", "its run failed"),
    ]


def test_a_day_shows_the_worst_of_its_partitions() -> None:
    quarters = [
        Kept(kind="suite", subject="often", part=str(n), interval=Interval(at - DAY / 96, at), due_at=at,
             answer=Answer.LATE_BUT_DONE if n == 100 else Answer.ON_TIME)
        for n in range(200)
        for at in [NOW.replace(hour=0) - n * DAY / 96]
    ]  # fmt: skip
    days = dict(calendar(attained(*quarters, subject="often"), NOW, 40))
    assert len(days) == 40 and list(days) == sorted(days)
    assert days[NOW.date() - 2 * DAY] == "late"
    assert days[NOW.date() - DAY] == "in time"
    assert days[NOW.date() - 20 * DAY] == ""
    assert date(2026, 10, 31) in days, "months cross"


def test_the_page_escapes_what_people_named_and_loads_nothing() -> None:
    name = "<script>alert(1)</script>"
    nasty = attained(kept(1, Answer.NEVER_STARTED, name, cause="<b>'\"&</b>"), subject=name)
    html = page([nasty], "prod", NOW)
    assert "<script" not in html and "&lt;script&gt;" in html and "<b>'" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert "Nothing is promised" in page([], "prod", NOW)


def test_two_hundred_subjects_are_a_page_that_a_browser_takes() -> None:
    many = [attained(*(kept(n, subject=f"s{i}") for n in range(28)), subject=f"s{i}") for i in range(200)]
    html = page(many, "prod", NOW)
    assert html.count('class="cal"') == 200
    assert len(html) < 4_000_000


def test_the_json_has_what_is_documented() -> None:
    budget = Budget(what="on_time", of="partitions", goal=Fraction(99, 100), good=9, valid=10, allowed=Fraction(1, 10),
                    burn=None, state="spent", severity=None)  # fmt: skip
    document = to_json(
        [Attained(subject="a", owner="", promise="p", kept=(kept(0, Answer.NEVER_STARTED, "a"),), budgets=(budget,))],
        NOW,
        28,
    )
    (promise,) = document["promises"]
    assert (promise["name"], promise["owner"], promise["missing"], promise["attainment"]) == ("a", None, 1, 0.0)
    assert promise["budgets"] == [
        {"what": "on_time", "of": "partitions", "goal": 0.99, "good": 9, "valid": 10, "left": -9.0, "burn": None,
         "state": "spent"}
    ]  # fmt: skip
    assert document["misses"][0]["answer"] == "never_started"


def test_the_sample_is_what_the_pictures_show() -> None:
    html = page(sla_report(), "prod", NOW)
    assert "raw.orders" in html and "excused; the lake moved" in html
    assert NOW.tzinfo is UTC or isinstance(NOW, datetime)
