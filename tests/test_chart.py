"""The picture of the two weeks: what it shows, how long it is, and what happens where it cannot be drawn."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction

import pytest
from PIL import Image

from dq.model.group import Group
from dq.model.severity import Severity
from dq.reports.chart import MAX_BYTES, ORGS, WIDTH, chart
from dq.reports.discrepancy import render
from dq.reports.trend import DAYS, Day, Seen, Trend, days_until
from tests import chromium
from tests.ledgers import DAY, NOW, columns, ledger, row
from tests.screens import TOO_WIDE
from tests.servers import require_program

E = Severity.ERROR
WELL = Day(seen=Seen.WELL)
NASTY = ["x$y$z " * 8, "\N{CJK UNIFIED IDEOGRAPH-5357}" * 30, "<b>&\"'", "a\nb\x00\u202e", "", "W" * 60]


def bad(share: object, severity: Severity = E) -> Day:
    return Day(seen=Seen.BAD, severity=severity, share=None if share is None else Fraction(share))  # type: ignore[arg-type]


def trend(**orgs: list[Day]) -> Trend:
    """Return the days of some orgs, the last ones given, the others well."""
    rows = {Group(("org",), (name,)): (*[WELL] * (DAYS - len(days)), *days) for name, days in orgs.items()}
    return Trend(days=days_until(DAY.start.date()), rows=rows)


def many(count: int) -> Trend:
    """Return the days of many orgs with long and strange names, in which all that there is occurs."""
    names = [NASTY[n % len(NASTY)] + str(n) for n in range(count)]
    every = [[
        bad(Fraction((-1) ** (n + m) * (1 + (n * 37 + m * 11) % 99), 99), Severity(m % 4 + 1))
        if (n + m) % 3 else Day(seen=Seen((n + m) % 5), severity=E) for m in range(DAYS)
    ] for n in range(count)]  # fmt: skip
    return trend(**dict(zip(names, every, strict=True)))


def picture(shown: Trend) -> Image.Image:
    found = chart(shown)
    assert found is not None
    return Image.open(io.BytesIO(found.image.content)).convert("RGB")


def reach(found: Image.Image, place: int, colour: str = "#e0661b") -> list[int]:
    """Return the lines in which the middle of a day has a colour, or nearly."""
    wanted = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    left, right = 2 * 146, 2 * 354
    x = round(left + (right - left) * (place + 0.5) / DAYS)
    pixels = [found.getpixel((x, y)) for y in range(found.height)]
    return [y for y, seen in enumerate(pixels) if all(abs(a - b) < 12 for a, b in zip(seen, wanted, strict=True))]


def test_it_has_a_bar_for_each_bad_day_as_high_as_its_share() -> None:
    found = picture(trend(a=[bad(Fraction(1, 4)), bad(Fraction(1, 2)), WELL, bad(Fraction(1, 8))]))
    heights = [len(reach(found, n)) for n in range(DAYS)]
    assert heights[:10] == [0] * 10 and heights[12] == 0
    quarter, half, eighth = (heights[n] for n in (10, 11, 13))
    assert 40 <= half <= 60 and abs(2 * quarter - half) <= 3 and abs(4 * eighth - half) <= 4


def test_too_many_stand_below_the_line_and_each_org_has_its_own_scale() -> None:
    found = picture(trend(a=[bad(Fraction(1, 2)), bad(Fraction(-1, 2))], b=[bad(Fraction(1, 100)), WELL]))
    above, below = reach(found, 12), reach(found, 13)
    first, second = (list(part) for part in _runs(above))
    assert abs(first[-1] - below[0]) <= 3 and len(first) == pytest.approx(len(below), abs=2)
    assert len(second) == pytest.approx(2 * len(first), abs=4), "one percent is all that b lacks"


def _runs(lines: list[int]) -> list[list[int]]:
    """Return numbers that follow each other, together."""
    runs: list[list[int]] = []
    for one in lines:
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def test_the_colour_is_the_severity() -> None:
    found = picture(trend(a=[bad(Fraction(1, 2), Severity.CRITICAL), bad(Fraction(1, 2), Severity.WARNING)]))
    assert [len(reach(found, n, "#d0382b")) > 40 for n in (12, 13)] == [True, False]
    assert [len(reach(found, n, "#d99a00")) > 40 for n in (12, 13)] == [False, True]


@pytest.mark.parametrize("count", [1, 9, 10, 50])
def test_it_is_a_short_png_of_the_worst_orgs_alone(count: int) -> None:
    shown = many(count)
    found = chart(shown)
    assert found is not None and found == chart(shown), "the same days give the same picture"
    assert found.image.content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(found.image.content) <= MAX_BYTES
    size = picture(shown).size
    assert size == (2 * WIDTH, 2 * (66 + 46 * min(count, ORGS)))
    first = Trend(days=shown.days, rows=dict(list(shown.rows.items())[:ORGS]))
    assert chart(first) == found
    assert found.image.cid.endswith("@dq") and found.image.cid.startswith(found.image.digest[:32])


def test_what_it_shows_is_said_in_its_place() -> None:
    found = chart(trend(a=[bad(Fraction(1, 4)), WELL, bad(Fraction(-1, 2))], b=[bad(None), bad(Fraction(1, 500))]))
    assert found is not None
    assert found.alt == (
        "Bars of the worst 2 orgs for each day from 13 Jun to 26 Jun, as in the table above: "
        "a (bad on 2 of 14 days, worst -50 % on 26 Jun), b (bad on 2 of 14 days, worst <1 % on 26 Jun)"
    )
    longest = chart(many(50))
    assert longest is not None and len(longest.alt) < 500 and " and 7 more" in longest.alt
    assert not set(longest.alt) & {"\x00", "\u202e", "\n"}


def test_where_no_share_is_known_there_is_no_picture() -> None:
    assert chart(trend(a=[bad(None)])) is None
    assert chart(trend()) is None


def shown(orgs: int = 3) -> tuple[str, str]:
    """Return the HTML of a mail with a picture, and the page."""
    found = ledger([row(f"org {n}", {"Regions": 100, "Provinces": 90}, severity=E) for n in range(orgs)])
    days = Trend(
        days=days_until(DAY.start.date()),
        rows={
            one.org: (*[WELL] * 12, bad(Fraction(n + 1, 9)), bad(Fraction(1, 10))) for n, one in enumerate(found.rows)
        },
    )
    made = render(found, now=NOW, trend=days, chart=chart(days))
    (image,) = made.attachments
    assert f'src="cid:{image.cid}"' in made.html and "cid:" not in made.text
    return made.html, made.page


def test_a_mail_without_room_for_the_numbers_has_no_picture() -> None:
    names = [f"{n} {'<' * 200}" for n in range(150)]
    rows = [row(f"{n}{'<' * 200}", dict.fromkeys(names, 10**12), severity=E, notes=("<" * 500,)) for n in range(50)]
    found = ledger(rows, shown=columns(*names))
    days = Trend(days=days_until(DAY.start.date()), rows={one.org: (bad(1),) * DAYS for one in found.rows})
    made = render(found, now=NOW, trend=days, chart=chart(days))
    assert "What is not well, " not in made.html
    assert "<img" not in made.html and made.attachments == ()


@pytest.fixture(scope="module")
def browser():
    require_program(*chromium.NAMES)
    with chromium.Browser() as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
def test_it_fits_the_screen_and_so_do_the_words_in_its_place(browser, width: int, dark: bool) -> None:
    mail, page = shown()
    place = "(e => { const r = e.getBoundingClientRect(); return [r.width, r.height, e.naturalWidth] })"
    browser.show(page, width=width, dark=dark)
    browser.evaluate("document.querySelector('img').decode()")
    wide, high, natural = browser.evaluate(f"{place}(document.querySelector('.chart img'))")
    assert natural == 2 * WIDTH
    assert wide == (332 if width == 360 else WIDTH)
    assert high == pytest.approx(wide * (66 + 46 * 3) / WIDTH, abs=1)
    assert browser.evaluate(TOO_WIDE) == []
    browser.show(mail, width=width, dark=dark)  # no browser knows an id of a mail, as if images were blocked
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.evaluate("document.querySelector('.chart img').alt").startswith("Bars of the worst 3 orgs")


@pytest.mark.parametrize("word", ["import dq", "import dq.app.mailing, dq.reports.discrepancy, dq.reports.chart"])
def test_nothing_imports_matplotlib_before_it_is_needed(word: str) -> None:
    code = f"import sys; {word}; print([n for n in sys.modules if n.startswith(('matplotlib', 'PIL'))])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
