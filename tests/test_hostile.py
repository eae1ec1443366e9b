"""Hostile predicates, names, parameters and templates, through `dq.run`, on each live engine.

The database's user owns all and its session may write, so nothing but the guard stands between a text and the database;
what arrived is told by the database itself. See tests/hostile.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve, frozen

import dq
from dq import (
    Aggregate,
    Between,
    By,
    Check,
    Freshness,
    Like,
    Matches,
    NotNull,
    OneOf,
    Query,
    Reference,
    RowCount,
    Rows,
    Suite,
    Sum,
    Table,
    Unique,
    at_least,
    at_most,
)
from dq.model.errors import DqError, GuardError, MeasureError, UsageError
from dq.model.result import Run
from dq.model.severity import Outcome
from dq.project import DatasourceSettings, Project, StoreSettings
from dq.secret import Secret
from dq.sql.guard import guard_query
from dq.sql.refused import is_refused_table, why_refused
from tests import servers
from tests.engines import Live, live
from tests.hostile import catalogue
from tests.hostile.watch import Arrived, Watch, watched

__all__ = ["live"]

SORTS = ("predicate", "name", "params", "jinja")
FOLDER = Path(__file__).parent / "hostile"
SQLGLOT = {"duckdb": "duckdb", "sqlite": "strictsqlite", "postgres": "postgres", "mariadb": "mysql"}
SOAK = os.environ.get("DQ_SOAK") == "1"
MOST_SECONDS = 3.0  # what sleeps in the corpus sleeps five seconds


@frozen
class Entry:
    """One hostile text."""

    sort: str
    source: str
    text: str


def corpus(sort: str) -> list[Entry]:
    lines = (FOLDER / f"{sort}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Entry(sort, **json.loads(line)) for line in lines]


# ------------------------------------------------------------------------------------------------- doors into a suite
Door = Callable[[str], Suite]


def suite(*checks: Check, name: str = "orders", table: Table | None = None, **more: Any) -> Suite:
    return Suite(name, table or Table("live", "orders"), checks=checks, **more)


_ROWS = Check("rows", RowCount(), error=at_least(0))

DOORS: dict[str, list[Door]] = {
    "predicate": [
        lambda text: suite(Check("c", Rows(text))),
        lambda text: suite(Check("c", Query(text))),
        lambda text: suite(Check("c", NotNull("id"), where=text)),
        lambda text: suite(_ROWS, table=Table("live", "orders", where=text)),
        lambda text: suite(Check("c", Aggregate(text), error=at_least(0))),
        lambda text: suite(Check("c", Aggregate(f"max({text})"), error=at_least(0))),
        lambda text: suite(Check("c", Query(f"SELECT * FROM orders WHERE {text}"))),
        lambda text: suite(_ROWS, by=By("org", expected=text)),
        lambda text: suite(_ROWS, by=By("org", expected=f"SELECT org FROM orders WHERE {text}")),
    ],
    "name": [
        lambda text: suite(_ROWS, table=Table("live", text)),
        lambda text: suite(
            Check("a", NotNull(text)),
            Check("b", Unique("id", text)),
            Check("c", Freshness(text), error=at_most("1h")),
            Check("d", OneOf(text, ("a",))),
        ),
        lambda text: suite(_ROWS, table=Table("live", "orders", partition=text)),
        lambda text: suite(Check("c", OneOf("note", (text, "a"))), Check("d", Between("note", text, None))),
        lambda text: suite(Check("c", Like("note", text)), Check("d", Sum(text), error=at_least(0))),
        lambda text: suite(Check("c", Matches("note", text))),
        lambda text: suite(Check("c", Reference("org", Table("live", "orders"), text))),
        lambda text: suite(Check("c", Unique("id")), by=By(text)),
        lambda text: suite(Check(text, RowCount(), error=at_least(0)), name=text, by=By("org", expected=[text])),
    ],
    "params": [
        lambda _: suite(Check("c", Rows("{{ params.x }}"))),
        lambda _: suite(Check("c", Rows("note = '{{ params.x }}'"))),
        lambda _: suite(Check("c", Rows("amount > {{ params.x }}"))),
        lambda _: suite(Check("c", NotNull("id"), where="id IN ({{ params.list | join(', ') }})")),
        lambda _: suite(Check("c", Aggregate("max({{ params.x }})"), error=at_least(0))),
        lambda _: suite(Check("c", Query("{{ params.x }}"))),
        lambda _: suite(Check("c", Query("SELECT * FROM orders WHERE note = '{{ params.x }}' OR id = {{ params.x }}"))),
        lambda _: suite(_ROWS, by=By("org", expected="SELECT org FROM orders WHERE note = '{{ params.x }}'")),
    ],
    "jinja": [
        lambda text: suite(Check("c", Rows(text))),
        lambda text: suite(Check("c", Rows(f"note <> '{text}'"))),
        lambda text: suite(Check("c", NotNull("id"), where=f"id = {text}")),
        lambda text: suite(Check("c", Query(f"SELECT * FROM orders WHERE {text}"))),
    ],
}


# --------------------------------------------------------------------------------------------------------- the verdict
@frozen
class Judge:
    """Says whether what arrived at an engine is more than reading.

    Attributes:
        engine: its name.
        of_the_session: what a harmless run sends beside its SELECT, word by word.
        dangerous: the functions of the engine that nobody wrote down as harmless.
    """

    engine: str
    of_the_session: frozenset[str]
    dangerous: frozenset[str]

    def trespass(self, arrived: Arrived) -> str | None:
        """Return what is wrong with a statement, None where it only reads."""
        if arrived.seconds > MOST_SECONDS:
            return f"took {arrived.seconds} s"
        if arrived.sql in self.of_the_session:
            return None
        return self._more_than_reading(arrived.sql)

    def _more_than_reading(self, sql: str) -> str | None:
        # On purpose not the parser of the guard: quotes, words and brackets are all that is looked at.
        bare = _QUOTED[self.engine].sub(_unquoted, sql)
        for call in re.finditer(r"(\w+)\s*\(", bare):
            if call[1].lower() in self.dangerous:
                return f"calls {call[1]}"
        if not re.match(r"[\s(]*(SELECT|WITH)\b", bare, re.IGNORECASE):
            return "is no SELECT"
        found = _WRITES.search(bare)
        return f"holds {found[0]}" if found else None


def _unquoted(found: re.Match[str]) -> str:
    """Return nothing for a text, and for a quoted name the name where it could be that of a function."""
    if found["name"] is None:
        return "''"
    name = found["name"][1:-1]
    return name if found["call"] is not None and re.fullmatch(r"\w+", name) else "x"


# What stands between quotes, as each engine reads it: doubled quotes, and backslashes where they escape.
_PLAIN, _ESCAPED, _DOLLARS = r"'(?:[^']|'')*'", r"\b[eE]'(?:[^'\\]|''|\\.)*'", r"\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
_NAME = r'(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`)(?P<call>(?=\s*\())?'
_QUOTED = {
    engine: re.compile("|".join((*strings, _NAME)), re.DOTALL)
    for engine, strings in {
        "sqlite": [_PLAIN],
        "duckdb": [_ESCAPED, _PLAIN, _DOLLARS],
        "postgres": [_ESCAPED, _PLAIN, _DOLLARS],
        "mariadb": [r"'(?:[^'\\]|''|\\.)*'", r'"(?:[^"\\]|""|\\.)*"'],
    }.items()
}
# What a SELECT can hold that does more than read; a word alone may be the name of a column.
_WRITES = re.compile(
    r";|--|/\*|:=|\bINTO\b|\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE|KEY)\b|\bLOCK\s+IN\b|\b(NEXT|PREVIOUS)\s+VALUE\b"
    r"|\bDELETE\s+FROM\b|\bUPDATE\s+\S+\s+SET\b|\bINSERT\s+\w|\bMERGE\s+\w|\bPROCEDURE\s+\w+\s*\(",
    re.IGNORECASE,
)
_OF_A_SESSION = re.compile(
    r"(SELECT|SET|SHOW|PRAGMA (query_only|read_uncommitted)|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|COMMIT)\b", re.IGNORECASE
)


@frozen
class Court:
    """A watched database, the project that reads it, and the judge of what arrives."""

    watch: Watch
    project: Project
    judge: Judge

    def run(self, made: Suite, **project: Any) -> Run | str:
        """Return the run, or the sentence that refuses it; anything else that is raised fails the test."""
        try:
            return dq.run(made, "2024-06-26", project=evolve(self.project, **project))
        except UsageError as error:
            return str(error)

    def tries(self, sort: str, text: str, doors: Sequence[Door] | None = None) -> Iterator[str]:
        """Try a text at its doors, and yield a sentence for each statement that arrived and is more than reading."""
        folder = str(self.watch.folder)
        text = text.replace("{file}", f"{folder}/canary.csv").replace("{dir}", folder)
        for number, door in enumerate(doors or DOORS[sort]):
            try:
                said = self.run(door(text), params={"x": text, "list": [text, text]})
            except DqError as error:
                said = str(error)
            sentences = [said] if isinstance(said, str) else [result.sentence for result in said.results]
            if not sentences or not all(sentence.strip() for sentence in sentences):
                yield f"{self.judge.engine}, {sort}, {text!r}, door {number}: nothing is said"
        for arrived in self.watch.arrived():
            if wrong := self.judge.trespass(arrived):
                yield f"{self.judge.engine}, {sort}, {text!r}: {arrived.sql!r} {wrong}"

    def verdict(self) -> None:
        """Assert that the canaries live, and that no file and no function was used that must not be."""
        assert not self.watch.canary_file_was_read()
        assert self.watch.canaries() == self.watch.before
        assert not {name for name in self.watch.called if name in self.judge.dangerous or name.startswith("ATTACH")}
        files = {name for name in self.watch.called if '"op":"OPEN"' in name or name.startswith("HTTP")}
        assert not {name for name in files if "live.duckdb" not in name}


@pytest.fixture
def court(live: Live, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Court]:
    """Each live engine in turn, watched, behind a datasource whose session may write."""
    names = {"postgres": "postgres_server", "mariadb": "mariadb_server"}
    server = request.getfixturevalue(names[live.name]) if live.name in names else None
    known = catalogue.harmless(live.name) + catalogue.harmless(live.name, "refused all the same")
    dangerous = frozenset(name for name in catalogue.functions(live) if not catalogue.is_among(name, known))
    assert len(dangerous) >= 3
    settings = DatasourceSettings(
        "live", Secret(live.url, "test", tmp_path), timeout=timedelta(seconds=30), read_only=False
    )
    store = StoreSettings(Secret("sqlite:///unused.sqlite", "test", tmp_path))
    project = Project(root=tmp_path, environment="test", store=store, datasources={"live": settings})
    for datasource in live.opened:
        datasource.close()
    with watched(live, servers._directory("dq-canary-"), server) as watch:
        made = Court(watch, project, Judge(live.name, frozenset(), dangerous))
        well = made.run(suite(Check("c", Rows("amount > 0")), _ROWS, by=By("org")))
        assert isinstance(well, Run)
        assert {result.outcome for result in well.results} == {Outcome.PASS, Outcome.FAIL}
        sent = [a.sql for a in watch.arrived()]
        assert any("amount" in sql for sql in sent)
        session = frozenset(sql for sql in sent if "orders" not in sql)
        assert all(_OF_A_SESSION.match(sql) for sql in session), session
        yield evolve(made, judge=evolve(made.judge, of_the_session=session))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("sort", SORTS)
def test_the_corpus_is_refused_or_only_reads(court: Court, sort: str) -> None:
    """Each text is tried at the two doors it is made for and at one of the others; in `make soak` at all."""
    wrong: list[str] = []
    first, others = DOORS[sort][:2], DOORS[sort][2:]
    for number, entry in enumerate(corpus(sort)):
        doors = DOORS[sort] if SOAK else [*first, others[number % len(others)]]
        wrong += court.tries(sort, entry.text, doors)
    assert wrong == []
    court.verdict()


def test_the_corpus_is_large_and_says_where_its_patterns_are_known_from() -> None:
    entries = [entry for sort in SORTS for entry in corpus(sort)]
    assert len({(entry.sort, entry.text) for entry in entries}) == len(entries) >= 300
    assert all(entry.source for entry in entries)
    assert all(len(corpus(sort)) >= 50 for sort in SORTS)


# ------------------------------------------------------------------------------------------------- what the watch sees
_MORE_THAN_READING = {
    "duckdb": ("SELECT sleep_ms(3200)", "SELECT * FROM read_csv('{file}')"),
    "sqlite": (None, None),
    "postgres": ("SELECT pg_sleep(3.2)", "SELECT pg_read_file('{file}')"),
    "mariadb": ("SELECT sleep(3.2)", "SELECT load_file('{file}')"),
}


@pytest.mark.slow
def test_a_database_without_the_guard_is_caught(court: Court) -> None:
    """Whatever the court would miss, it could not prove."""
    watch, judge = court.watch, court.judge

    def wrongs(sql: str) -> list[str | None]:
        datasource = watch.live.datasource(read_only=False, timeout=timedelta(seconds=30))
        with contextlib.suppress(MeasureError):
            datasource.fetch(sql)
        datasource.close()
        return [wrong for arrived in watch.arrived() if (wrong := judge.trespass(arrived))]

    assert wrongs("SELECT count(*) FROM orders") == []
    sleeps, reads = _MORE_THAN_READING[watch.live.name]
    if sleeps is not None and reads is not None:
        assert wrongs(sleeps)[0].startswith("took")
        assert wrongs(sleeps.replace("3.2", "0").replace("3200", "0"))[0].startswith("calls")
        assert not watch.canary_file_was_read()
        assert wrongs(reads.replace("{file}", f"{watch.folder}/canary.csv"))[0].startswith("calls")
        assert watch.canary_file_was_read()
        assert watch.live.name != "duckdb" or any("canary.csv" in name for name in watch.called)
    assert "is no SELECT" in wrongs("DELETE FROM orders WHERE id = 99")
    assert watch.canaries() == watch.before
    watch.owner("UPDATE canary SET secret = 'dead'")
    assert watch.canaries() != watch.before
    (watch.folder / "stolen").write_text("x", encoding="utf-8")
    assert list(watch.canaries()["files"]) == ["canary.csv", "stolen"]


@pytest.mark.parametrize(
    ("sql", "wrong"),
    [
        ("SELECT 1", None),
        ("SELECT 'x; DROP TABLE t', \"pg_sleep(5)\" FROM \"a;b\"", None),
        ('SELECT "pg_sleep" (5)', "calls pg_sleep"),
        ("SELECT 'a''b', PG_SLEEP(5)", "calls PG_SLEEP"),
        ("SELECT 1; SELECT 2", "holds ;"),
        ("WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", "holds DELETE FROM"),
        ("SELECT * FROM t FOR UPDATE", "holds FOR UPDATE"),
        ("SELECT * INTO u FROM t", "holds INTO"),
        ("DROP TABLE t", "is no SELECT"),
    ],
)
def test_the_judge_reads_what_arrived(sql: str, wrong: str | None) -> None:
    judge = Judge("postgres", frozenset(), frozenset(["pg_sleep"]))
    assert judge.trespass(Arrived(sql, 0.0)) == wrong
    assert str(judge.trespass(Arrived(sql, 4.0))).startswith("took")


# ------------------------------------------------------------------------------------------------- functions of people
_WRITING_FUNCTION = {
    "postgres": "CREATE FUNCTION canary_fn() RETURNS int LANGUAGE sql AS 'UPDATE canary SET id = 9 RETURNING id'",
    "mariadb": "CREATE FUNCTION canary_fn() RETURNS int BEGIN UPDATE canary SET id = 9; RETURN 9; END",
}


@pytest.mark.parametrize("live", sorted(_WRITING_FUNCTION), indirect=True)
def test_a_function_of_the_users_own_cannot_write_in_a_read_only_session(court: Court) -> None:
    court.watch.owner(_WRITING_FUNCTION[court.watch.live.name])
    before = court.watch.canaries()
    settings = evolve(court.project.datasources["live"], read_only=True)
    calls = suite(Check("c", Rows("canary_fn() = 9 AND id > 0")))
    said = court.run(calls, datasources={"live": settings})
    assert isinstance(said, Run)
    assert [result.outcome for result in said.results] == [Outcome.UNMEASURED]
    assert re.search("read.only", said.results[0].sentence, re.IGNORECASE)
    assert court.watch.canaries() == before
    refused = court.run(calls, refuse_functions=("canary_fn",))
    assert "calls canary_fn, which the project refuses" in str(refused)
    may_write = court.run(calls)
    assert isinstance(may_write, Run)
    assert [result.outcome for result in may_write.results] == [Outcome.PASS]
    assert court.watch.canaries() != before, "it writes where nothing refuses it, so the two refusals mean something"


# ------------------------------------------------------------------------------------------------- engines' functions
_HOW_TO_ADD = "read what they do; refuse them in dq/sql/refused.py, or add them to tests/hostile/functions"


def test_each_function_of_an_engine_is_refused_or_known_to_be_harmless(live: Live) -> None:
    names, known = catalogue.functions(live), catalogue.harmless(live.name)
    assert len(names) > 100
    passed = []
    for name in sorted(names):
        if not catalogue.is_among(name, known):
            for spelled in (f"{name}(id)", f"{live.quote(name.upper())} (id)"):
                try:
                    guard_query(f"SELECT {spelled} FROM orders", SQLGLOT[live.name])
                    passed.append(name)
                except GuardError:
                    pass
    assert not passed, f"{live.name} has functions that nobody looked at: {' '.join(passed)}; {_HOW_TO_ADD}"
    assert not [name for name in known if why_refused(name)], "these are refused, so they are no longer harmless"


def test_each_table_that_an_engine_makes_itself_is_refused_or_known_to_be_harmless(live: Live) -> None:
    known = catalogue.harmless(live.name, "tables")
    unknown = sorted(n for n in catalogue.tables(live) if not is_refused_table(n) and not catalogue.is_among(n, known))
    assert not unknown, f"{live.name} has tables that nobody looked at: {' '.join(unknown)}; {_HOW_TO_ADD}"


@pytest.mark.parametrize("live", ["postgres"], indirect=True)
def test_a_view_of_postgres_that_calls_a_refused_function_is_refused(live: Live) -> None:
    views = live.datasource().fetch("SELECT viewname, definition FROM pg_views WHERE schemaname = 'pg_catalog'")
    assert len(views) > 50
    opened = {
        name for name, definition in views if any(why_refused(f.lower()) for f in re.findall(r"(\w+)\(", definition))
    }
    assert "pg_hba_file_rules" in opened
    for name in opened:
        with pytest.raises(GuardError, match=name):
            guard_query(f"SELECT * FROM {name}", "postgres")


# ------------------------------------------------------------------------------------------------------------- fuzzing
_PIECES = (
    *"'\"`;()[]{}\\#@:?%$,.*/-+=<>|&!~^ \n\r\t\x00\x0b\u00a0\u200b\u2028\ufeff\u02bc\ufe57",
    "''", '""', "\\'", "--", "-- ", "/*", "*/", "/*!", "/*M!", "$$", "$a$", "E'", "U&'", "N'", "x'", "q'[", "::", ":=",
    "{{", "}}", "{%", "%}", "{#", "#}", "{{ params.x }}", "{{ ds }}", " OR ", " AND ", " UNION SELECT ", " FROM ",
    " WHERE ", " INTO ", " FOR UPDATE", " LIMIT 1", "SELECT ", "WITH x AS (", "DELETE FROM canary", "DROP TABLE canary",
    "canary", "canary_seq", "orders", "id", "amount", "NULL", "CASE WHEN ", " END", "CAST(", " AS ", "INTERVAL ",
    "'{file}'", "nextval", "NEXT VALUE FOR ", "LATERAL ", "TABLE ", "VALUES ", "PIVOT ", "x -> ", "lambda x: ", " IN ",
)  # fmt: skip


def mutated(text: str, rng: Random, others: list[str], dangerous: list[str]) -> str:
    """Return ``text`` with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        other = rng.choice(others)
        text = rng.choice(
            (
                text[:at] + rng.choice(_PIECES) + text[at:],
                text[:at] + text[to:] if to - at < 20 else text,
                text[:to] + text[at:to] + text[to:],
                text[:at] + text[at:to].swapcase() + text[to:],
                text[:at] + other[rng.randint(0, len(other)) :],
                text[:at] + rng.choice(dangerous) + rng.choice(("(", "()", "(5)", " (5)", "('{file}')")) + text[at:],
                re.sub(r"\b(?:pg_)?sleep\b", lambda _: rng.choice(dangerous), text),
                text.replace(" ", rng.choice(("/**/", "\t", "\n", "\u00a0", "\u3000", "\x0c", "--\n", "+"))),
                rng.choice(("({})", "NOT ({})", "id = ({})", "{} OR 1=1", "'{}'", "{{{{ '{}' }}}}")).format(text),
            )
        )
        text = text[:2_000]
    return text


@pytest.mark.slow
@pytest.mark.soak
def test_mutations_of_the_corpus_are_refused_or_only_read(
    court: Court, histories: Callable[[int, int], Iterator[Random]]
) -> None:
    texts = {sort: [entry.text for entry in corpus(sort)] for sort in SORTS}
    everything = [text for sort in SORTS for text in texts[sort]]
    dangerous = sorted(court.judge.dangerous)
    for rng in histories(400, 10_000):
        sort = rng.choice(SORTS)
        text = mutated(rng.choice(texts[sort]), rng, everything, dangerous)
        assert list(court.tries(sort, text, [rng.choice(DOORS[sort])])) == []
    court.verdict()
