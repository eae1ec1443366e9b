"""Hundreds of suites as a handful of mapped tasks: one map index for each suite of a list or a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date as day
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from airflow.providers.common.compat.sdk import Asset, TaskGroup, task_group
from airflow.providers.standard.operators.python import PythonOperator

from dq.airflow import tasks as work
from dq.airflow.assets import outlets_of
from dq.airflow.groups import OURS, OnBlock, parsed_project
from dq.airflow.when import NewData, When, checked
from dq.model.errors import ConfigError, DqError, UsageError
from dq.model.severity import Severity
from dq.plugins import suggest

Entry = str | Mapping[str, object]
_KEYS = ("suite", "date", "stop_at", "on_block")
_SHOWN = "{{ task.op_kwargs['suite'] }}"
"""What the UI shows in the place of a map index."""


def mapped_suites(
    suites: Iterable[Entry] | Mapping[str, Mapping[str, object] | None] | str | Path,
    *,
    group_id: str = "suites",
    then: Callable[..., Any] | None = None,
    stop_at: str | Severity = "error",
    on_block: OnBlock = "skip",
    should_run: When | None = None,
    outlets: Asset | str | Iterable[Asset | str] = (),
    date: str | None = None,
    project: str | Path | None = None,
    **operator_kwargs: Any,
) -> TaskGroup:
    """Return many suites as one mapped TaskGroup: ``should_run >> measure >> close >> gate >> then``, once per suite.

    However many suites there are, Airflow parses these few tasks. Each suite has a map index of its own: what becomes
    of one says nothing to the others. What may follow suite by suite is ``then``; a task behind the whole group starts
    when all suites are good.

    Args:
        suites: the names of suites or reconciliations; or for each a mapping with ``suite``, and what holds for it
            alone of ``date``, ``stop_at`` and ``on_block``; or a mapping of names to these; or the path, relative to
            the DAG file, of a ``.json``, ``.yaml`` or ``.yml`` file with one of these. A new entry takes effect when
            the DAG file is parsed again.
        group_id: the id of the group.
        then: what runs for each suite when its gate has opened: a function, which runs as a task and may take
            ``suite`` (the name) and whatever Airflow's context has; or one made by ``@task`` or ``@task_group``, which
            is given the name.
        stop_at: the severity at which the next stage of a suite does not start.
        on_block: what happens then: ``skip`` it, ``fail`` the gate, or ``continue`` with a warning in the log.
        should_run: as for :func:`dq.airflow.suite_group`; it is asked for each suite.
        outlets: as for :func:`dq.airflow.suite_group`; updated once for each suite that is good.
        date: as for :func:`dq.airflow.suite_group`.
        project: as for :func:`dq.airflow.suite_group`.
        operator_kwargs: for every task of dq, e.g. ``retries=``, ``pool=``, ``max_active_tis_per_dagrun=``.

    Raises:
        DqError: at parse, when an entry or an argument cannot mean anything; the sentence names the file and the entry.
            A suite whose own file does not load is no such case: it fails when it runs, and takes no other down.
    """
    if refused := sorted((OURS | {"map_index_template", "sla"}) & operator_kwargs.keys()):
        raise UsageError(f"mapped_suites does not take {', '.join(refused)}")
    asked, updated = checked(should_run), outlets_of(group_id, outlets)
    common = {"date": date, "stop_at": stop_at, "on_block": on_block}
    for problem in _problems(common):
        raise UsageError(problem)
    where = None if project is None else str(project)
    entries: list[Mapping[str, Any]] = []

    def lay_out(suite: object, date: object, stop_at: object, on_block: object) -> None:
        names = {"suite": suite, "date": date, "project": where}

        def task(task_id: str, call: Callable[..., object], rule: str | None = None, **more: object) -> PythonOperator:
            arguments: dict[str, Any] = operator_kwargs | ({"trigger_rule": rule} if rule else {})
            arguments |= {"op_kwargs": names | more, "map_index_template": _SHOWN}
            return PythonOperator(task_id=task_id, python_callable=call, **arguments)

        first = task("should_run", partial(work.mapped_should_run, asked=asked))
        if isinstance(asked, NewData):
            first.inlets.append(asked.asset)
        # Only now the DAG file is known, to which paths are relative; Airflow reads the entries when all is laid out.
        entries.extend(_entries(suites, Path(first.dag.fileloc), where, common))
        begin = {"begin": first.task_id}
        measure = task("measure", work.mapped_measure, "all_success", stop_at=stop_at, **begin)
        close = task("close", work.mapped_close, "all_done", measured_by=measure.task_id, **begin)
        opens = partial(work.mapped_gate, updates=updated)
        gate = task("gate", opens, "none_failed", stop_at=stop_at, on_block=on_block, **begin)
        if updated is not None:
            gate.outlets.append(updated.alias)
        first >> measure >> close >> gate
        measure >> gate
        if then is not None:
            gate >> _behind(then, suite)

    return cast("TaskGroup", task_group(group_id=group_id, tooltip="suites of dq")(lay_out).expand_kwargs(entries))


def _behind(then: Callable[..., Any], suite: object) -> Any:
    """Return the tasks of the next stage of each suite."""
    if hasattr(then, "override"):  # @task and @task_group lay out tasks when they are called
        return then(suite)
    if not callable(then):
        raise UsageError(f"then={then!r} is not a function, nor one made by @task or @task_group")
    name = getattr(then, "__name__", "")
    name = name if name.isidentifier() else "then"
    return PythonOperator(task_id=name, python_callable=then, op_kwargs={"suite": suite}, map_index_template=_SHOWN)


def _entries(given: object, dag_file: Path, project: str | None, common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each map index is given.

    Raises:
        DqError: when an entry cannot mean anything, or no suite is named.
    """
    place = str(given) if isinstance(given, str | Path) else "mapped_suites"
    listed = _read(dag_file.parent / given, place) if isinstance(given, str | Path) else given
    declared = parsed_project(work.start_of(str(dag_file), project))
    found: dict[tuple[str, object], dict[str, Any]] = {}
    for number, entry in enumerate(_listed(listed, place), 1):
        at = f"{place}: entry {number}"
        for problem in _entry_problems(entry):
            raise UsageError(f"{at}: {problem}")
        own = {**common, **{key: value for key, value in entry.items() if value is not None}}
        name, at = own["suite"], f"{at} ({own['suite']})"
        own["date"] = own["date"].isoformat() if isinstance(own["date"], day) else own["date"]  # YAML knows dates
        for problem in _problems(own):
            raise UsageError(f"{at}: {problem}")
        own["stop_at"] = str(Severity.of(own["stop_at"]))
        if (name, own["date"]) in found:
            raise UsageError(f"{at}: it is there twice for the same date, and both would be the same run")
        try:
            declared.find(name)
        except UsageError as error:
            if not declared.failures:  # else it may be in a file that does not load, and says so when it runs
                raise UsageError(f"{at}: {error}") from None
        found[name, own["date"]] = own
    if not found:
        raise UsageError(f"{place}: it names no suite")
    return list(found.values())


def _listed(given: object, place: str) -> list[Any]:
    """Return the entries of a list, or of a mapping of names to what holds for them."""
    if isinstance(given, Mapping):
        return [
            {"suite": name, **(own or {})} if isinstance(own, Mapping | None) else {"suite": name, "": own}
            for name, own in given.items()
        ]
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        return [{"suite": entry} if isinstance(entry, str) else entry for entry in given]
    raise UsageError(f"{place}: it is neither a list of suites nor a mapping of their names to what holds for them")


def _entry_problems(entry: Any) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{entry!r} is neither the name of a suite nor a mapping with one"
    elif "" in entry:
        yield f"{entry['suite']!r} has {entry['']!r}, which is no mapping of {', '.join(_KEYS[1:])}"
    elif not isinstance(entry.get("suite"), str):
        yield f"its suite is {entry.get('suite')!r}, which is not the name of one"
    for key in entry if isinstance(entry, Mapping) else ():
        if key not in _KEYS:
            yield f"{key!r} is no key of an entry; {suggest(str(key), _KEYS)}"


def _problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with ``date``, ``stop_at`` and ``on_block``."""
    try:
        Severity.of(given["stop_at"])
    except DqError as error:
        yield str(error)
    if given["on_block"] not in get_args(OnBlock):
        yield f"on_block={given['on_block']!r} is not one of {', '.join(get_args(OnBlock))}"
    if not isinstance(given["date"], str | None):
        yield f"date={given['date']!r} is not a text"


def _read(file: Path, place: str) -> object:
    """Return what a file holds; it is read again only when it has changed.

    Raises:
        ConfigError: when it cannot be read; the sentence names the file.
    """
    try:
        stat = file.stat()
        state = (stat.st_mtime_ns, stat.st_size)
        if file not in _READ or _READ[file][0] != state:
            _READ[file] = state, _parsed(file.read_text(encoding="utf-8"), file.suffix, place)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{place}: it cannot be read: {why}") from None
    return _READ[file][1]


_READ: dict[Path, tuple[tuple[int, int], object]] = {}


def _parsed(text: str, suffix: str, place: str) -> object:
    if suffix == ".json":
        try:
            return json.loads(text, object_pairs_hook=partial(_once_each, place))
        except ValueError as error:
            raise ConfigError(f"{place}: it is not JSON: {error}") from None
    if suffix not in {".yaml", ".yml"}:
        raise ConfigError(f"{place}: its name must end with .json, .yaml or .yml")
    import yaml

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        _once_each(place, [(key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
        found: dict[Any, Any] = loader.construct_mapping(node, deep=True)
        return found

    refuses_twice = type("Loader", (yaml.SafeLoader,), {})
    refuses_twice.add_constructor("tag:yaml.org,2002:map", mapping)  # type: ignore[attr-defined]  # of SafeLoader
    try:
        return yaml.load(text, refuses_twice)  # noqa: S506  # it is a safe one
    except yaml.YAMLError as error:
        raise ConfigError(f"{place}: it is not YAML: {' '.join(str(error).split())}") from None


def _once_each(place: str, pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return the pairs as a mapping; JSON and YAML themselves take the last of a key that is there twice."""
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(f"{place}: {key!r} is there twice")
        found[key] = value
    return found
