"""Every mail of dq in Gmail, Outlook and Apple Mail, by what caniemail knows of them; nothing is asked of the network.

What a client does not have fully must be in ``WITHOUT``, with what its reader sees instead. An entry that nothing needs
is refused, so the list says what is so.
"""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from dq.alerting.channels.email import body_html
from dq.model.ledger import KnownLoss
from dq.model.severity import Severity
from dq.reports.attainment import report
from dq.reports.attainment_html import page
from dq.reports.chart import chart
from dq.reports.digest import render as render_digest
from dq.reports.discrepancy import render
from dq.reports.trend import Trend, days_until
from tests import promised, render_png, samples
from tests.ledgers import DAY, NOW, agari, beside, ledger, row
from tests.mail_clients import data, features, missing

INLINED = "the styles in the tags hold, and the mail is that of a wide screen in light colours"
WIDE = "on a phone the table stays a table, and is scrolled or made smaller"
LIGHT = "the mail stays light, or the client darkens it in its own way"
BLOCK = "in Outlook for Windows each stands on a line of its own"

WITHOUT = {
    # -------------------------------------------------------------------------------------------------------- tags
    ("html-align", "html"): "Outlook for Mac lacks it on tables only; it stands on rows and cells",
    ("html-body", "html"): "colours and font are on the element inside as well",
    ("html-doctype", "html"): "Outlook for Windows lays out as it always does",
    ("html-height", "html"): "the bar of the waterfall has another height; its number stands beside it",
    ("html-lists", "html"): "only reversed and numbered lists differ, and there are none",
    ("html-meta-color-scheme", "html"): LIGHT,
    ("html-role", "html"): "a screen reader announces the bar as a table",
    ("html-style", "html"): INLINED,
    ("html-width", "html"): "Outlook for Windows errs on images and on dense screens; there are shares in cells",
    # ------------------------------------------------------------------------------------------- styles in the tags
    ("css-background", "inline"): "Outlook for Windows takes a colour alone, and it is one",
    ("css-border", "inline"): "Outlook for Windows draws up to 8 px, and may leave out a line between parts",
    ("css-border-radius", "inline"): "corners are square",
    ("css-color-scheme", "inline"): LIGHT,
    ("css-display", "inline"): BLOCK,
    ("css-display-none", "inline"): "only labels for phones are hidden; no table is in one",
    ("css-font-size", "inline"): "sizes are in px, which all take",
    ("css-font-weight", "inline"): "Outlook for Windows draws 600 and more bold, less not",
    ("css-height", "inline"): "it is on the picture, of which all clients have it",
    ("css-letter-spacing", "inline"): "letters stand closer",
    ("css-line-height", "inline"): "lines stand closer or wider",
    ("css-margin", "inline"): "no negative one; without auto the sheet stands at the left",
    ("css-max-width", "inline"): "in Outlook for Windows the sheet is as wide as the window; the picture is 360 px",
    ("css-min-width", "inline"): "a narrow column wraps more",
    ("css-overflow-wrap", "inline"): "word-break, or the client's own rule, breaks long names; else the table grows",
    ("css-padding", "inline"): "in Outlook for Windows text stands at the edge of its box; cells have cellpadding",
    ("css-table-layout", "inline"): "columns are as wide as their text",
    ("css-text-align", "inline"): "only left and center are used; rows have align, too",
    ("css-text-decoration", "inline"): "a button is underlined as any link",
    ("css-white-space", "inline"): "numbers and tags may wrap, and a query stands on one line; it is in the text part",
    ("css-width", "inline"): "of tables and cells, where Outlook for Windows has it; else as wide as the text",
    ("css-word-break", "inline"): "long names are broken anywhere, or not",
    ("? css-font-variant-numeric", "inline"): "digits have the widths of the font",
    ("? css-supported-color-schemes", "inline"): LIGHT,
    # ---------------------------------------------------------------- the style element: phones, and dark screens
    ("css-at-media", "style"): INLINED,
    ("css-at-media-prefers-color-scheme", "style"): LIGHT,
    ("css-background", "style"): LIGHT,
    ("css-border", "style"): WIDE,
    ("css-border-radius", "style"): "corners are square",
    ("css-box-sizing", "style"): "who lacks it reads no media query",
    ("css-color-scheme", "style"): LIGHT,
    ("css-display", "style"): WIDE,
    ("css-display-flex", "style"): "the days of a dataset or org stay a row of the table",
    ("css-display-none", "style"): "headings stay; who lacks it reads no media query",
    ("css-flex-wrap", "style"): "as for flex",
    ("css-float", "style"): "the verdict follows the name",
    ("css-font-size", "style"): WIDE,
    ("css-font-weight", "style"): WIDE,
    ("css-gap", "style"): "as for flex",
    ("css-important", "style"): "lower case, with a blank before; who lacks it keeps the styles in the tags",
    ("css-letter-spacing", "style"): "letters stand closer",
    ("css-line-height", "style"): "lines stand closer or wider",
    ("css-margin", "style"): WIDE,
    ("css-min-width", "style"): "as for flex",
    ("css-overflow", "style"): "a corner of a colour sticks out of a round card",
    ("css-overflow-wrap", "style"): "as in the tags",
    ("css-padding", "style"): WIDE,
    ("css-selector-child", "style"): INLINED,
    ("css-selector-class", "style"): INLINED,
    ("css-selector-descendant", "style"): INLINED,
    ("css-selector-grouping", "style"): INLINED,
    ("css-selector-type", "style"): INLINED,
    ("css-text-align", "style"): WIDE,
    ("css-width", "style"): WIDE,
    ("? css-flex", "style"): "as for display: flex",
    ("? css-pseudo-class-root", "style"): LIGHT,
    ("? css-supported-color-schemes", "style"): LIGHT,
}
"""A feature and where it is used, to what its reader sees who does not have it."""


def _whole() -> str:
    """Return a discrepancy report with all that one can have."""
    days = [DAY, evolve(DAY, start=DAY.end, end=DAY.end + (DAY.end - DAY.start))]
    found = enumerate((*Severity, None, None))
    rows = [
        row(f"org {n}", {"Regions": 100, "Provinces": 90 + n}, severity=worst, notes=("a note",), interval=days[n % 2])
        for n, worst in found
    ]
    promises = report(promised.team(), promised.NOW)
    weeks = days_until(DAY.start.date())
    trend = Trend(days=weeks, rows={one.org: render_png.days("oooo.oooo?2433", Severity.ERROR) for one in rows})
    made = ledger(rows, totals=(("all", 5, "why"),), still_bad=((DAY, "bad"),), interval=evolve(DAY, end=days[1].end),
                  losses=(KnownLoss(name="Rejected", count=3, sample="Error"),),
                  levels=(ledger(rows * 3), ledger([])))  # fmt: skip
    links = (("Runbook", "https://example.org/"),)
    drawn, news = chart(trend), render_png.SAYS.news
    html = render(made, now=NOW, promises=promises, links=links, news=news, trend=trend, chart=drawn).html
    assert "cid:" in html and "Coarser levels" in html
    return html


FULL = evolve(samples.MESSAGE, query="SELECT 1", note="a note", facts=(("Since", "today"),))
MAILS = {
    "discrepancies": _whole(),
    "the published day": render(agari(), now=NOW).html,
    "two weeks": render(agari(), now=NOW, **beside(agari())).html,
    "digest": render_digest(render_png.SAYS).html,
    "promises": page(report(promised.team(), promised.NOW), "prod - SLA report"),
    "alert": body_html(FULL),
    "over": body_html(evolve(FULL, status="resolved")),
}


@pytest.mark.parametrize("mail", MAILS)
def test_what_a_client_lacks_has_a_fallback(mail: str) -> None:
    for name, places in features(MAILS[mail]).items():
        for place in places:
            assert not missing(name) or (name, place) in WITHOUT, (name, place, missing(name), data().get(name))


def test_no_fallback_is_kept_for_what_is_not_used() -> None:
    used = {(name, place) for html in MAILS.values() for name, places in features(html).items() for place in places}
    assert {one for one in WITHOUT if one not in used or not missing(one[0])} == set()


@pytest.mark.parametrize("mail", MAILS)
def test_what_clients_have_in_part_is_used_in_that_part(mail: str) -> None:
    html = MAILS[mail]
    styles = "".join(re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL))
    declared = [*re.findall(r'style="([^"]*)"', html), styles]
    assert len(styles.encode()) <= 16_000, "Gmail drops a longer one"
    for text in declared:
        assert not re.search(r"margin[^;:]*:[^;]*-\d", text), "no client has negative margins"
        assert not re.search(r"border(?!-radius)[^;:]*:\s*(9|\d\d+)px", text), "Outlook for Windows draws up to 8 px"
        assert not re.search(r"\d(rem|vw|vh)\b|url\(|gradient|calc\(|var\(", text)
        assert "!IMPORTANT" not in text.replace("!important", "")
    assert not re.search(r"@media[^{]*\{[^{}]*(\{[^{}]*\}[^{}]*)*@media", styles), "no client has nested ones"


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<p style="position:sticky">', {("css-position", "inline")}),
        ('<div style="display:grid">', {("css-display-grid", "inline"), ("html-div", "html")}),
        ("<style>.a.b{color:red}</style>", {("css-selector-chaining", "style"), ("css-selector-class", "style")}),
        ("<style>@media (hover){a > b{width:2rem}}</style>", {
            ("css-at-media", "style"), ("css-at-media-hover", "style"), ("css-selector-child", "style"),
            ("css-selector-type", "style"), ("css-width", "style"), ("css-unit-rem", "style")}),
        ('<p style="width:calc(1px + 2%);color:var(--x)">', {
            ("css-width", "inline"), ("css-unit-calc", "inline"), ("css-unit-px", "inline"),
            ("css-unit-percent", "inline"), ("css-variables", "inline")}),
        ('<img src="data:image/png;base64,AA">', {("html-img", "html"), ("? an image by data:", "html")}),
        ('<img src="https://example.org/">', {("html-img", "html"), ("? an image by https:", "html")}),
        ('<img src="cid:a@b">', {("html-img", "html")}),
        ('<video poster="x">', {("html-video", "html"), ("? html-poster", "html")}),
        ('<p style="border-top-color:red;padding-left:0">', {("css-border", "inline"), ("css-padding", "inline")}),
        ('<p style="container-type:size">', {("? css-container-type", "inline")}),
        ("<style>p:hover::before{top:1px !important}</style>", {
            ("css-pseudo-class-hover", "style"), ("css-pseudo-element-before", "style"), ("css-important", "style"),
            ("css-left-right-top-bottom", "style"), ("css-selector-type", "style"), ("css-unit-px", "style")}),
    ],
)  # fmt: skip
def test_what_a_document_asks_for_is_seen(html: str, found: set[tuple[str, str]]) -> None:
    seen = {(name, place) for name, places in features(html).items() for place in places}
    assert found <= seen
    assert {one for one in seen if one[0].startswith("? an image")} <= found
    assert {place for _, place in seen - found} <= {"html"}


def test_what_clients_lack_is_known() -> None:
    assert missing("css-position")["gmail desktop-webmail"].startswith("n")
    assert "outlook windows" in missing("css-display-flex")
    assert missing("css-unit-px") == {}
    assert missing("? anything") != {}
    clients = {client.split()[0] for one in data().values() for client in one["stats"]}
    assert clients == {"gmail", "outlook", "apple-mail"}
