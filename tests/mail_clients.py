"""What a document of HTML asks of mail clients, in the names of caniemail, and which clients do not have it.

``features`` reads tags, attributes and CSS; ``missing`` holds what they use against ``tests/data/caniemail.json``. What
the data have no name for is a feature, too, named ``?`` and what it is, so that it has to be answered for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "caniemail.json"

_TAGS = {
    "html-h1-h6": ["h1", "h2", "h3", "h4", "h5", "h6"],
    "html-lists": ["ul", "ol", "li", "dl", "dt", "dd"],
    "html-table": ["table", "thead", "tbody", "tfoot", "tr", "td", "th", "caption"],
    "html-strong": ["strong", "b", "em", "i"],
    "html-semantics": ["article", "aside", "details", "figcaption", "figure", "footer", "header", "main", "mark", "nav",
                       "section", "summary", "time"],
}  # fmt: skip
_OF_TAG = {tag: name for name, tags in _TAGS.items() for tag in tags}
_OLDER = {"html", "head", "title", "meta", "a", "br"}
"""Tags of the first HTML; no client lacks them, and caniemail does not list them."""

_OLDER_ATTRIBUTES = {"class", "style", "href", "charset", "name", "content", "scope", "bgcolor", "colspan", "alt",
                     "src", "data-css-inline"}  # fmt: skip
"""Attributes that are older than caniemail's lists, or that no client has to know."""

_PARTS = ("margin", "padding", "border", "background", "list-style", "text-decoration", "outline")
"""Of ``border-top-color`` caniemail lists ``border``."""

_OLDER_PROPERTIES = {"color", "font-family", "font-style"}
_UNITS = {"px", "em", "rem", "ch", "ex", "vh", "vw", "vmin", "vmax", "pt", "pc", "cm", "mm", "in"}


@cache
def data() -> dict[str, Any]:
    """Return what is known of each feature."""
    found: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))["features"]
    return found


def features(html: str) -> dict[str, set[str]]:
    """Return the features that ``html`` uses, each with where: ``html``, ``inline`` (an attribute) or ``style``."""
    reader = _Reader()
    reader.feed(html)
    return reader.found


def missing(name: str) -> dict[str, str]:
    """Return what each client has of the feature that does not have it fully; empty: as far as is known, all do."""
    if name.startswith("?"):
        return {"caniemail": "does not list it"}
    return {client: said for client, said in data()[name]["stats"].items() if said[0] in "na"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, set[str]] = {}
        self._style: list[str] | None = None

    def _add(self, name: str, where: str) -> None:
        known = name in data() or name.startswith("?")
        self.found.setdefault(name if known else f"? {name}", set()).add(where)

    def handle_decl(self, decl: str) -> None:
        self._add("html-doctype", "html")

    def handle_comment(self, data: str) -> None:
        self._add("html-comments", "html")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "style":
            self._style = []
        if tag not in _OLDER:
            self._add(_OF_TAG.get(tag, f"html-{tag}"), "html")
        given = {name: value or "" for name, value in attrs}
        if tag == "meta" and "color-scheme" in given.get("name", ""):
            self._add("html-meta-color-scheme", "html")
        if given.get("href", "").startswith("#"):
            self._add("html-anchor-links", "html")
        scheme = given.get("src", "").partition(":")[0]
        if scheme not in {"", "cid"}:  # an image that the mail holds, by its id, is shown by all
            self._add(f"? an image by {scheme}:", "html")
        for name in given.keys() - _OLDER_ATTRIBUTES:
            self._add(f"html-{name}", "html")
        for name in _declared(given.get("style", "")):
            self._add(name, "inline")

    def handle_data(self, data: str) -> None:
        if self._style is not None:
            self._style.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "style" and self._style is not None:
            for name in _sheet("".join(self._style)):
                self._add(name, "style")
            self._style = None


def _sheet(text: str) -> Iterator[str]:
    """Yield the features of a style sheet; rules may stand in one level of at-rules."""
    text, comments = re.subn(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    if comments:
        yield "css-comments"
    at = 0
    while (opened := text.find("{", at)) >= 0:
        head, depth, end = text[at:opened].strip(), 1, opened + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        body = text[opened + 1 : end - 1]
        if head.startswith("@"):
            yield from _at_rule(head)
            yield from _sheet(body) if "{" in body else _declared(body)
        else:
            yield from _selectors(head)
            yield from _declared(body)
        at = end
    for rule in re.findall(r"@import", text):
        yield f"css-at-{rule[1:]}"


def _at_rule(head: str) -> Iterator[str]:
    name = re.match(r"@([a-z-]+)", head)
    assert name is not None, head
    yield f"css-at-{name[1]}"
    if name[1] == "media":
        for asked in re.findall(r"\(\s*([a-z-]+)", head):
            if asked not in {"max-width", "min-width"}:  # these are what css-at-media was tested with
                yield f"css-at-media-{asked}"


def _selectors(head: str) -> Iterator[str]:
    if "," in head:
        yield "css-selector-grouping"
    for selector in head.split(","):
        words = {"class": r"\.[\w-]+", "id": r"#[\w-]+", "attribute": r"\[", "universal": r"\*", "child": ">",
                 "adjacent-sibling": r"\+", "general-sibling": "~", "type": r"(^|[\s>+~])[a-z]",
                 "descendant": r"[\w\]*)]\s+[\w.#\[*:]", "chaining": r"[\w\]]\.[\w-]"}  # fmt: skip
        yield from (f"css-selector-{name}" for name, pattern in words.items() if re.search(pattern, selector.strip()))
        yield from (f"css-pseudo-element-{name}" for name in re.findall(r"::([\w-]+)", selector))
        yield from (f"css-pseudo-class-{name}" for name in re.findall(r"(?<!:):([\w-]+)", selector))


def _declared(text: str) -> Iterator[str]:
    for declaration in filter(None, (part.strip() for part in text.split(";"))):
        name, _, value = (part.strip().lower() for part in declaration.partition(":"))
        yield from _property(name, value)
        yield from _value(value)


def _property(name: str, value: str) -> Iterator[str]:
    part = next((part for part in _PARTS if name.startswith(f"{part}-")), "")
    if name in _OLDER_PROPERTIES:
        return
    if name in {"left", "right", "top", "bottom"}:
        yield "css-left-right-top-bottom"
    elif name == "display":
        of_value = f"css-display-{value.removesuffix('!important').strip()}"
        yield of_value if of_value in data() else "css-display"
    else:
        yield f"css-{name}" if f"css-{name}" in data() or not part else f"css-{part}"


def _value(value: str) -> Iterator[str]:
    if "!important" in value:
        yield "css-important"
    for function in re.findall(r"([a-z-]+)\(", value):
        names = (f"css-function-{function}", f"css-unit-{function}", f"css-{function}")
        yield "css-variables" if function == "var" else next((n for n in names if n in data()), f"css-{function}()")
    bare = re.sub(r"#[0-9a-f]+|\"[^\"]*\"|'[^']*'", "", value)
    for unit in re.findall(r"(?<![\w-])[+-]?[0-9.]+([a-z]+|%)", bare):
        yield "css-unit-percent" if unit == "%" else f"css-unit-{unit}" if unit in _UNITS else f"css-unit ({unit})"
    if re.search(r"(?<![\w-])initial(?![\w-])", bare):
        yield "css-unit-initial"
