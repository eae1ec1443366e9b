"""What ``dq reconcile --keys`` prints: the keys that two stages do not share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dq.cli.show import counted, json_out, out, table, title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dq.model.interval import Interval
    from dq.model.keys import Cells, KeyComparison, KeyDifference
    from dq.project import Project


def compare_keys(
    project: Project,
    name: str,
    interval: Interval,
    *,
    org: str | None,
    stages: Sequence[str],
    distinct: bool,
    limit: int,
    as_json: bool,
) -> int:
    """Compare the keys of the stages of a reconciliation, print what differs; return 1 where something does."""
    from dq import app

    found = app.compare_keys(project, name, interval, org=org, stages=stages, distinct=distinct, limit=limit or None)
    code = int(not all(one.agree for one in found))
    if as_json:
        json_out(_document(name, interval, project.environment, found) | {"exit_code": code})
        return code
    for one in found:
        _print(one)
    return code


def _document(name: str, interval: Interval, environment: str, found: Sequence[KeyComparison]) -> dict[str, Any]:
    return {
        "reconciliation": name,
        "environment": environment,
        "interval": interval.to_json(),
        "comparisons": [one.to_json() for one in found],
    }


def _print(one: KeyComparison) -> None:
    said = "keys agree" if one.agree else "keys differ"
    org = "" if one.org is None else f", org {one.org}"
    place = f"{one.reconciliation} {one.interval}{org} ({one.environment})"
    title(f"{place}: {one.stage} against {one.baseline}: {said}", good=one.agree)
    out(f"{one.baseline}: {counted(one.rows[0], 'row')}, {one.stage}: {counted(one.rows[1], 'row')}")
    for kind, number in one.found.items():
        if number:
            about = f", about {one.in_all(kind)} in all" if one.unread else ""
            out(f"{kind}: {counted(number, 'key')}{about}")
    if one.differences:
        headings = ["found", *one.key, f"rows at {one.baseline}", f"at {one.stage}"]
        if one.values:
            headings += [f"{', '.join(one.values)} at {stage}" for stage in (one.baseline, one.stage)]
        width = len(one.key) + 1
        table(headings, [_line(one, difference) for difference in one.differences], right=(width, width + 1))
    hidden = sum(one.found.values()) - len(one.differences)
    if hidden:
        out(f"and {counted(hidden, 'key')} more; --limit 0 shows all")
    if one.unread:
        out(f"not read: {counted(one.unread, 'row')} of segments that differ")
    out(f"travelled: {counted(one.checksums, 'checksum')} and {counted(one.read, 'row')} of {sum(one.rows)}")
    out("")


def _line(one: KeyComparison, difference: KeyDifference) -> tuple[object, ...]:
    line: tuple[object, ...] = (difference.kind, *map(_cell, difference.key), *difference.counts)
    return (*line, _rows(difference.baseline), _rows(difference.stage)) if one.values else line


def _rows(values: Any) -> str | None:
    """Return the values of the records of a key: those of one record as ``a, b``, of several apart by bars."""
    return " | ".join(_spelled(cells, count) for cells, count in values.items()) or None


def _spelled(cells: Cells, count: int) -> str:
    return ", ".join(map(_cell, cells)) + (f" ({count} times)" if count > 1 else "")


def _cell(text: str | None) -> str:
    return "(NULL)" if text is None else text or "(empty)"
