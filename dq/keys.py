"""Compare keys: which records one stage has and another, in another database, has not.

Two statements per side, whatever the size: checksums of segments, then the records of those segments that differ.
There are about the square root of 32 N segments for N records: as many checksums travel then as records of, say, 32
differences. More steps would move fewer rows, but each of them makes the databases hash all of their records again, and
that is what takes the time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import lru_cache
from heapq import merge
from itertools import accumulate, chain, groupby

from attrs import define, evolve, field, frozen

from dq.context import Context
from dq.datasource import Datasource, Row
from dq.masking import Masks, masked
from dq.model.errors import DqError, GuardError, MeasureError, UsageError
from dq.model.failing import Masking
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.keys import KINDS, Cells, KeyComparison, KeyDifference, Kind
from dq.model.reconciliation import Reconciliation, Stage
from dq.moves import Move, Moves, Spot, moves
from dq.orgs import Org, names_of_orgs, org_called
from dq.plugins import suggest
from dq.sql.canonical import Type, canonical, label_text, type_of, type_of_value
from dq.sql.keys import Keyed, checksum
from dq.sql.names import table_parts
from dq.sql.statements import Compiler

READ_WHOLE = 1_000
"""Up to so many records, of both sides together, are read without looking at checksums first."""

MOST_READ = 2_000_000
"""So many records, of both sides together, are read at most; the rest of the segments that differ is counted only."""

AT_ONCE = 200_000
"""Up to so many records, of both sides together, are fetched and not streamed: PostgreSQL shares the work of a
statement among processes only where it has no cursor."""

MOST_RENAMED = 1_000
"""So many orgs may be called otherwise at a stage where all keys of a hop are compared: each is named in the SQL."""

MOST_BITS = 18
"""There are at most ``2**18`` segments."""

Hashed = tuple[int, Cells, Cells, int]
"""The hash of a key, the key, values, and how many records have both."""


@frozen
class Bounds:
    """How much may be read; see the constants of this module."""

    whole: int = READ_WHOLE
    most: int = MOST_READ
    bits: int = MOST_BITS


@frozen
class Side:
    """One of two tables that are compared.

    Attributes:
        source: where it lies.
        keyed: writes its statements.
    """

    source: Datasource
    keyed: Keyed


@frozen
class Found:
    """What was found; see :class:`dq.model.keys.KeyComparison`."""

    rows: tuple[int, int]
    found: Mapping[Kind, int]
    differences: tuple[KeyDifference, ...]
    equal: int
    unread: int
    read: int
    checksums: int


def compare(
    baseline: Side,
    stage: Side,
    *,
    limit: int | None = None,
    bounds: Bounds | None = None,
    seen: Callable[[KeyDifference], None] | None = None,
) -> Found:
    """Return the keys of which two tables have other records.

    Args:
        baseline: the one.
        stage: the other; its keys and values have as many parts.
        limit: how many keys are listed of each kind; None: all. They are counted anyway.
        bounds: how much may be read.
        seen: is given each of the keys that differ, also those that are not listed.

    Raises:
        MeasureError: when one of the databases cannot be asked.
    """
    bounds = bounds or Bounds()
    sides = (baseline, stage)
    # The pool is left first: a stream must not be closed while a thread asks for its next rows.
    with ExitStack() as streams, ThreadPoolExecutor(len(sides)) as pool:
        ours, theirs = pool.map(lambda side: int(side.source.fetch(side.keyed.counted())[0][0]), sides)
        wanted = Chosen(0, (), ours + theirs, (0, 0))
        sums: list[Sums] = []
        if ours + theirs > bounds.whole:
            bits = segment_bits(max(ours, theirs), bounds.bits)
            sums = [*pool.map(lambda side: _checksums(side.source.fetch(side.keyed.checksums(bits))), sides)]
            wanted = chosen(sums[0], sums[1], bits, bounds.most)
        counted = _Counted(len(baseline.keyed.key))
        reading: list[Iterator[Hashed]] = [iter(()), iter(())]
        if wanted.rows:
            lists = [streams.enter_context(closing(_lists(side, wanted))) for side in sides]
            reading = [counted.read(_ahead(pool, one), number) for number, one in enumerate(lists)]
        found = dict.fromkeys(KINDS, 0)
        listed: dict[Kind, list[KeyDifference]] = {kind: [] for kind in KINDS}
        unequal = 0
        for difference in differences(*reading):
            kind = difference.kind
            found[kind] += 1
            unequal += difference.counts[0]
            if seen is not None:
                seen(difference)
            if limit is None or len(listed[kind]) < limit:
                listed[kind].append(difference)
    all_ours = sum(count for count, _ in sums[0].values()) if sums else counted.records[0]
    return Found(
        rows=(ours, theirs),
        found=found,
        differences=tuple(one for kind in KINDS for one in sorted(listed[kind], key=_by_key)),
        equal=all_ours - unequal - wanted.unread[0],
        unread=sum(wanted.unread),
        read=counted.rows,
        checksums=sum(map(len, sums)),
    )


def segment_bits(rows: int, most: int = MOST_BITS) -> int:
    """Return how many bits of a hash name a segment: those of the square root of 32 times the records."""
    return max(1, min(most, ((32 * rows).bit_length() + 1) // 2))


Sums = Mapping[int, tuple[int, int]]
"""The number of records and the sum of their hashes, by segment."""


@frozen
class Chosen:
    """The segments whose records are read.

    Attributes:
        bits: there are ``2**bits`` segments; 0: all records are read.
        segments: their numbers.
        rows: how many records they have, of both sides together.
        unread: the records of the baseline, and of the stage, in segments that differ and are not read.
    """

    bits: int
    segments: tuple[int, ...]
    rows: int
    unread: tuple[int, int]


def chosen(ours: Sums, theirs: Sums, bits: int, most: int) -> Chosen:
    """Return the segments that differ, as far as they may be read.

    At least one is read, and further ones as long as they have no more than ``most`` records, of both sides together.
    """
    nothing = (0, 0)
    differing = sorted(one for one in ours.keys() | theirs.keys() if ours.get(one) != theirs.get(one))
    rows = [(ours.get(one, nothing)[0], theirs.get(one, nothing)[0]) for one in differing]
    totals = accumulate(map(sum, rows))
    end = next((max(number, 1) for number, total in enumerate(totals) if total > most), len(rows))
    unread = sum(mine for mine, _ in rows[end:]), sum(other for _, other in rows[end:])
    return Chosen(bits, tuple(differing[:end]), sum(map(sum, rows[:end])), unread)


def differences(ours: Iterable[Hashed], theirs: Iterable[Hashed]) -> Iterator[KeyDifference]:
    """Yield the keys of which two sides have other records; each side comes in the order of the hashes.

    It holds the records of one hash at a time. Keys with the same hash are told apart.

    Args:
        ours: of the baseline.
        theirs: of the stage.
    """
    tagged = merge(((row, 0) for row in ours), ((row, 1) for row in theirs), key=lambda pair: pair[0][0])
    for _, group in groupby(tagged, key=lambda pair: pair[0][0]):
        keys: dict[Cells, tuple[Counter[Cells], Counter[Cells]]] = {}
        for (_, key, values, count), side in group:
            keys.setdefault(key, (Counter(), Counter()))[side][values] += count
        for key, (mine, other) in keys.items():
            if mine != other:
                yield KeyDifference(_kind(mine.total(), other.total()), key, dict(mine), dict(other))


def _kind(ours: int, theirs: int) -> Kind:
    if not theirs:
        return "missing"
    if not ours:
        return "extra"
    return "duplicated" if ours != theirs else "changed"


def _by_key(one: KeyDifference) -> tuple[object, ...]:
    return Group((), one.key).sort_key


def _lists(side: Side, wanted: Chosen) -> Generator[list[Row], None, None]:
    sql = side.keyed.rows(wanted.bits, wanted.segments)
    if wanted.rows <= AT_ONCE:
        yield side.source.fetch(sql)
    else:
        yield from side.source.stream(sql)


def _ahead(pool: Executor, lists: Iterator[list[Row]]) -> Iterator[Row]:
    """Return the rows of a stream; the next list is on its way while one is looked at, the first from now on."""
    first = pool.submit(next, lists, None)

    def rest() -> Iterator[list[Row]]:
        coming = first
        while (rows := coming.result()) is not None:
            coming = pool.submit(next, lists, None)
            yield rows

    return chain.from_iterable(rest())


@define
class _Counted:
    """Counts what is read.

    Attributes:
        width: how many parts a key has.
        rows: of both sides.
        records: of the baseline, and of the stage: some may share a row.
    """

    width: int
    rows: int = 0
    records: list[int] = field(factory=lambda: [0, 0])

    def read(self, rows: Iterator[Row], side: int) -> Iterator[Hashed]:
        for row in rows:
            count = int(row[-1])
            self.rows += 1
            self.records[side] += count
            yield int(row[0]), tuple(row[1 : 1 + self.width]), tuple(row[1 + self.width : -1]), count


def _checksums(rows: Sequence[Row]) -> dict[int, tuple[int, int]]:
    return {int(row[0]): (int(row[1]), checksum(row[2:])) for row in rows}


# ------------------------------------------------------------------------------------------------------------- stages


def compare_stage(
    declared: Reconciliation,
    stage: Stage,
    connect: Callable[[str], Datasource],
    context: Context,
    environment: str,
    *,
    org: str | None = None,
    distinct: bool = False,
    limit: int | None = None,
    bounds: Bounds | None = None,
) -> KeyComparison:
    """Return the keys of the baseline that ``stage`` has not, those that only it has, and those that differ.

    Values of a tagged column are masked.

    Args:
        declared: the reconciliation.
        stage: one of its stages.
        connect: gives the datasource of a name.
        context: the interval, the time and the values for Jinja.
        environment: e.g. ``prod``.
        org: the only org that is looked at, as the ledger shows it; None: all.
        distinct: records that are equal in key and values count once.
        limit: how many keys are listed of each kind; None: all.
        bounds: how much may be read.

    Raises:
        UsageError: when a stage has no key, a column does not exist, or the org has no records at either stage.
        MeasureError: when one of the databases cannot be asked.
    """
    stages = (declared.baseline, stage)
    opened = [_Stage.of(declared, one, connect(one.table.datasource), context) for one in stages]
    keys, values = _paired(opened, "key"), _paired(opened, "values")
    sides = [
        one.side(keys[number], values[number], None if org is None else one.only(org), distinct=distinct)
        for number, one in enumerate(opened)
    ]
    found = compare(*sides, limit=limit, bounds=bounds)
    if org is not None and found.rows == (0, 0):
        both = f"{declared.baseline.name} or {stage.name}"
        raise UsageError(f"reconciliation {declared.name!r}: {both} has no org {org!r} in {context.interval}")
    hidden = [_strictest(pair) for pair in zip(*(one.masked_parts() for one in opened), strict=True)]
    width = len(keys[0])
    return KeyComparison(
        reconciliation=declared.name,
        environment=environment,
        interval=context.interval,
        baseline=declared.baseline.name,
        stage=stage.name,
        org=org,
        key=declared.key_of(declared.baseline),
        values=declared.values_of(declared.baseline),
        rows=found.rows,
        found=found.found,
        differences=tuple(_masked(one, hidden[:width], hidden[width:]) for one in found.differences),
        equal=found.equal,
        unread=found.unread,
        read=found.read,
        checksums=found.checksums,
    )


def compare_hop(
    declared: Reconciliation,
    hop: tuple[Stage, Stage],
    connect: Callable[[str], Datasource],
    context: Context,
    *,
    bounds: Bounds | None = None,
) -> Moves:
    """Return what a hop did to the records of the days of ``context``: where each is before it, and where after it.

    Args:
        declared: the reconciliation.
        hop: two of its stages; both have a key, and a partition column.
        connect: gives the datasource of a name.
        context: the days, the time and the values for Jinja.
        bounds: how much may be read.

    Raises:
        UsageError: when a column does not exist, or too many orgs are called otherwise at a stage.
        MeasureError: when one of the databases cannot be asked.
    """
    opened = [_Stage.of(declared, one, connect(one.table.datasource), context) for one in hop]
    keys = _paired(opened, "key")
    alike = len({len(declared.values_of(one)) for one in hop}) == 1
    values = _paired(opened, "values") if alike else [[], []]
    sides = [
        one.side(keys[number], [*one.orgs(), one.day(), *values[number]], None, distinct=False)
        for number, one in enumerate(opened)
    ]
    columns, width = declared.by.columns, len(declared.by.columns)
    counts: Counter[Move] = Counter()

    def records(found: Mapping[Cells, int]) -> dict[tuple[Spot, Cells], int]:
        return {
            (Spot(Group(columns, cells[:width]), _day(cells[width] or "")), cells[width + 1 :]): count
            for cells, count in found.items()
        }

    def seen(one: KeyDifference) -> None:
        for move, number in moves(records(one.baseline), records(one.stage)):
            counts[move] += number

    found = compare(*sides, limit=0, bounds=bounds, seen=seen)
    if found.unread and found.read:
        share = (found.read + found.unread) / found.read
        return Moves({move: round(number * share) for move, number in counts.items()}, whole=False)
    return Moves(dict(counts))


@lru_cache
def _day(text: str) -> Interval:
    return Interval.of_day(text)


_Part = tuple[str, Type]
"""An expression as SQL, and its type."""


@frozen
class _Stage:
    """One stage.

    Attributes:
        types: of the columns of its table.
    """

    declared: Reconciliation
    stage: Stage
    source: Datasource
    context: Context
    types: Mapping[str, Type]

    @classmethod
    def of(cls, declared: Reconciliation, stage: Stage, source: Datasource, context: Context) -> _Stage:
        columns = source.columns(table_parts(stage.table.name))
        return cls(declared, stage, source, context, {column.name: type_of(column.type) for column in columns})

    @property
    def place(self) -> str:
        return f"reconciliation {self.declared.name!r}, stage {self.stage.name!r}"

    @property
    def compiler(self) -> Compiler:
        return self.context.compiler(self.source.dialect, self.stage.table)

    def parts(self, what: str) -> list[_Part]:
        """Return the parts of the key, or the values."""
        of = {"key": self.declared.key_of, "values": self.declared.values_of}
        return [self._part(text, what) for text in of[what](self.stage)]

    def _part(self, text: str, what: str) -> _Part:
        # Most engines take names as the same whatever their case.
        alike = (name for name in self.types if name.casefold() == text.casefold())
        column = text if text in self.types else next(alike, None)
        if column is not None:
            return self.compiler.engine.identifier(column), self.types[column]
        if re.fullmatch(r"\w+", text):
            known = suggest(text, tuple(self.types))
            raise UsageError(f"{self.place}: {self.stage.table.name} has no column {text!r} for its {what}; {known}")
        try:
            sql = self.compiler.user_value(text)
        except DqError as error:
            raise UsageError(f"{self.place}: its {what}: {error}") from None
        return sql, self._sampled(sql)

    def _sampled(self, sql: str) -> Type:
        """Return the type of an expression: that of a value of it, because no SQL tells it on every engine."""
        engine = self.compiler.engine
        rest = f"FROM {engine.table(self.stage.table.name)} WHERE ({sql}) IS NOT NULL"
        rows = self.source.fetch(engine.limited([sql], rest, 1))
        return type_of_value(rows[0][0]) if rows else "text"

    def text(self, part: _Part, other: _Part) -> str:
        """Return the canonical text of a part as SQL, held against that of the other side."""
        try:
            return canonical(self.compiler.engine, part[0], part[1], other[1])
        except GuardError as error:
            raise UsageError(f"{self.place}: {error}") from None

    def only(self, org: str) -> str:
        """Return the condition of the records of one org."""
        wanted = org_called(self.declared, org).values
        stage, by = self.stage, self.declared.by
        columns = self.declared.by_of(stage).columns
        if stage.org is None and not stage.normalise and not stage.mapping:
            return self._of_org(columns, wanted)
        compiler = self.context.compiler(self.source.dialect, stage.table, columns if stage.org is None else ())
        try:
            called = names_of_orgs(self.declared, stage, self.source, compiler)
            if stage.org is not None:
                return "1 = 1" if called((stage.org,)) == wanted else "1 = 0"
            rows = self.source.fetch(compiler.count_by("count(*)", stage.where, by_day=False))
        except MeasureError as error:
            raise MeasureError(f"{self.place}: {error}") from None
        here = dict.fromkeys(by.group(row[:-1]).values for row in rows if called(row[:-1]) == wanted)
        return f"({' OR '.join(self._of_org(columns, values) for values in here)})" if here else "1 = 0"

    @property
    def renames(self) -> bool:
        """Whether orgs may be called otherwise here."""
        return bool(self.stage.normalise or self.stage.mapping)

    def org_places(self) -> list[int | None]:
        """Return which of the org columns each part of the key is; None: none of them."""
        columns = [] if self.stage.org is not None else self.declared.by_of(self.stage).columns
        places = {column.casefold(): place for place, column in enumerate(columns)}
        return [places.get(part.casefold()) for part in self.declared.key_of(self.stage)]

    def orgs(self) -> list[str]:
        """Return the values of the org columns as texts, as the ledger calls them: each as SQL.

        Raises:
            UsageError: when too many orgs are called otherwise here.
        """
        stage, by, engine = self.stage, self.declared.by_of(self.stage), self.compiler.engine
        parts = [] if stage.org is not None else [self._part(column, "org") for column in by.columns]
        texts = [self.text(part, part) for part in parts]
        if stage.org is None and not self.renames and all(own in {"integer", "text"} for _, own in parts):
            return texts
        compiler = self.context.compiler(self.source.dialect, stage.table, by.columns if parts else ())
        called = names_of_orgs(self.declared, stage, self.source, compiler)
        if stage.org is not None:
            return ["NULL" if value is None else engine.literal(value) for value in called((stage.org,))]
        names: dict[Org, Org] = {}
        for row in self.source.fetch(compiler.count_by("count(*)", stage.where, by_day=False)):
            values = zip(by.group(row[:-1]).values, parts, strict=True)
            here = tuple(None if value is None else label_text(value, own) for value, (_, own) in values)
            if (name := called(row[:-1])) != here:
                names[here] = name
        if len(names) > MOST_RENAMED:
            raise UsageError(
                f"{self.place}: {len(names)} orgs are called otherwise here; keys are looked at for {MOST_RENAMED}"
            )
        return [self._renamed(texts, number, names) for number in range(len(texts))]

    def _renamed(self, texts: Sequence[str], number: int, names: Mapping[Org, Org]) -> str:
        """Return one of the org columns as SQL, with the names that the ledger has."""
        engine = self.compiler.engine

        def text(value: str | None) -> str:
            return "NULL" if value is None else engine.literal(value)

        def equals(sql: str, value: str | None) -> str:
            return f"{sql} IS NULL" if value is None else f"{engine.exact(sql)} = {engine.exact(text(value))}"

        cases = " ".join(
            f"WHEN {' AND '.join(map(equals, texts, here))} THEN {text(name[number])}" for here, name in names.items()
        )
        return f"CASE {cases} ELSE {texts[number]} END" if cases else texts[number]

    def day(self) -> str:
        """Return the day as text, as SQL."""
        engine = self.compiler.engine
        assert self.stage.table.partition is not None  # noqa: S101  # a hop has one on both sides
        return canonical(engine, engine.day(engine.identifier(self.stage.table.partition)), "date", "date")

    def _of_org(self, columns: Sequence[str], values: Org) -> str:
        return " AND ".join(self._is(column, value) for column, value in zip(columns, values, strict=True))

    def _is(self, column: str, value: str | None) -> str:
        engine = self.compiler.engine
        part = self._part(column, "org")
        sql, own = part
        if value is None:
            return f"{sql} IS NULL"
        if own == "integer" and re.fullmatch(r"-?\d{1,18}", value):
            return f"{sql} = {value}"  # an index can answer it
        texts = self.text(part, part), engine.literal(label_text(value, own))
        return " = ".join(map(engine.exact, texts))

    def side(self, key: Sequence[str], values: Sequence[str], also: str | None, *, distinct: bool) -> Side:
        return Side(self.source, Keyed(self.compiler, self.stage.where, also, tuple(key), tuple(values), distinct))

    def masked_parts(self) -> list[Masking]:
        """Return what is done with each part of the key, and with each value."""
        tags = self.stage.table.tags
        masks = Masks.of(tags, self.context.masking)
        parts = (*self.declared.key_of(self.stage), *self.declared.values_of(self.stage))
        return [_strictest(["keep", *(masks.how(column) for column in tags if _names(part, column))]) for part in parts]


def _paired(opened: Sequence[_Stage], what: str) -> list[list[str]]:
    """Return the canonical texts of the key, or of the values, as SQL: for each side, one per part.

    Raises:
        UsageError: when the sides have not as many parts, or there is no key.
    """
    ours, theirs = (one.parts(what) for one in opened)
    baseline, stage = opened
    for one, parts in ((baseline, ours), (stage, theirs)):
        if what == "key" and not parts:
            raise UsageError(f'{one.place}: it has no key; write e.g. Stage(..., key="order_id")')
    if len(ours) != len(theirs):
        raise UsageError(
            f"{stage.place}: its {what} has {len(theirs)} parts, and that of {baseline.stage.name} has {len(ours)}"
        )
    texts = [
        [one.text(part, other) for part, other in zip(parts, others, strict=True)]
        for one, parts, others in ((baseline, ours, theirs), (stage, theirs, ours))
    ]
    if what == "key" and any(one.renames for one in opened):
        # An org in a key is called as everywhere else, else none of its records would have the same key.
        for place, columns in enumerate(zip(*(one.org_places() for one in opened), strict=True)):
            if columns[0] is not None and columns[0] == columns[1]:
                for one, own in zip(opened, texts, strict=True):
                    own[place] = one.orgs()[columns[0]]
    return texts


def _names(part: str, column: str) -> bool:
    """Return whether a column or an expression shows something of ``column``."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", part, re.IGNORECASE) is not None


def _strictest(how: Iterable[Masking]) -> Masking:
    given = set(how)
    return next(one for one in ("redact", "hash", "keep") if one in given)


def _masked(one: KeyDifference, key: Sequence[Masking], values: Sequence[Masking]) -> KeyDifference:
    def cells(texts: Cells, how: Sequence[Masking]) -> Cells:
        return tuple(map(masked, texts, how))

    def counted(found: Mapping[Cells, int]) -> Mapping[Cells, int]:
        shown: Counter[Cells] = Counter()
        for texts, count in found.items():
            shown[cells(texts, values)] += count
        return dict(shown)

    return evolve(one, key=cells(one.key, key), baseline=counted(one.baseline), stage=counted(one.stage))
