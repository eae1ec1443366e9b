"""The project: ``dq.toml`` and what is declared in ``checks/`` and ``reports/`` beside it.

Loading reads files and runs the declarations, nothing else: no database, no network, and no heavy library, because
Airflow loads a project whenever it parses a DAG file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from attrs import field, frozen

from dq.address import server_problem
from dq.loader import Declared, load_declarations
from dq.model.check import Suite
from dq.model.dataset import Dataset
from dq.model.errors import ConfigError, UsageError
from dq.model.failing import MASKINGS, Masking
from dq.model.reconciliation import Reconciliation
from dq.plugins import suggest
from dq.secret import Secret
from dq.toml import Section

FILE = "dq.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


@frozen
class DatasourceSettings:
    """What ``[datasources.NAME]`` says.

    Attributes:
        name: how tables refer to it.
        url: its SQLAlchemy URL, or a reference to one; read it with ``url.reveal_url()``.
        password: a reference to the password that the URL leaves out.
        timeout: how long one statement may take.
        read_only: whether sessions are opened read-only where the database can.
        parallel: how many statements may run side by side; None: what is fastest on that database.
        max_connections: how many connections dq may hold at once; None: as many as run side by side, at least two.
        write: whether dq may write tables of its own there; it has a session for that alone, which is not read-only.
    """

    name: str
    url: Secret
    password: Secret | None = None
    timeout: timedelta = timedelta(minutes=5)
    read_only: bool = True
    parallel: int | None = None
    max_connections: int | None = None
    write: bool = False


@frozen
class AirflowSettings:
    """What ``[airflow.NAME]`` says: where an Airflow is that dq watches from outside, and who dq is there.

    Attributes:
        name: how it is told apart from others.
        url: of its API server (Airflow 3) or web server (Airflow 2), up to ``/api``; or a reference to that.
        user: who dq signs in as, with ``password``; None: with ``token``, or as nobody.
        password: a reference to the password of ``user``.
        token: a reference to a token that is sent as it is.
        timeout: how long one request may take.
    """

    name: str
    url: Secret
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    timeout: timedelta = timedelta(seconds=10)


@frozen
class StoreSettings:
    """What ``[store]`` says: where runs, incidents and messages are kept.

    Attributes:
        url: the SQLAlchemy URL, or a reference to it; read it with ``url.reveal_url()``.
        password: a reference to the password that the URL leaves out.
    """

    url: Secret
    password: Secret | None = None


@frozen
class WatchSettings:
    """What ``[watch]`` says of ``dq watch``.

    Attributes:
        every: how far apart its rounds begin.
        ping: a reference to an address that is called after each good round, at most once a minute: that of a
            dead-man's switch, which tells people when it is called no more.
    """

    every: timedelta = timedelta(seconds=20)
    ping: Secret | None = None


@frozen(kw_only=True)
class Project:
    """A folder with a ``dq.toml``, and what is declared in it.

    Attributes:
        root: the folder.
        environment: ``dev``, ``stage``, ``prod`` or as the team says; ``DQ_ENVIRONMENT`` overrides the file.
        store: where runs, incidents and messages are kept.
        datasources: by name.
        airflows: what is watched from outside, by name.
        watch: how.
        refuse_functions: SQL functions that predicates and queries may not call, beside those dq refuses itself.
        params: what templates see as ``params``.
        masking: how the values of a column are shown, by its tag: ``redact``, ``hash`` or ``keep``.
        suites, reconciliations, datasets: what is declared, by name.
        failures: a sentence for each file, or declaration, that did not load.
        sources: the file of each of them, relative to ``root``.
    """

    root: Path
    environment: str
    store: StoreSettings
    datasources: Mapping[str, DatasourceSettings] = field(factory=dict)
    airflows: Mapping[str, AirflowSettings] = field(factory=dict)
    watch: WatchSettings = field(factory=WatchSettings)
    refuse_functions: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(factory=dict)
    masking: Mapping[str, Masking] = field(factory=dict)
    suites: Mapping[str, Suite] = field(factory=dict)
    reconciliations: Mapping[str, Reconciliation] = field(factory=dict)
    datasets: Mapping[str, Dataset] = field(factory=dict)
    failures: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(factory=dict)

    def find(self, name: str) -> Suite | Reconciliation:
        """Return the suite or reconciliation ``name``.

        Raises:
            UsageError: when there is none; the sentence says what there is, and what did not load.
        """
        found = self.suites.get(name) or self.reconciliations.get(name)
        if found is None:
            if name in self.datasets:
                raise UsageError(f"{name!r} is a dataset, which has no checks: `dq status {name}` says how it is")
            broken = f"; what did not load: {' | '.join(self.failures)}" if self.failures else ""
            raise UsageError(
                f"there is no suite or reconciliation {name!r}; {suggest(name, tuple(sorted(self.sources)))}{broken}"
            )
        return found

    def source_of(self, name: str) -> str:
        """Return the file that declares ``name``, relative to the project, e.g. ``checks/orders.py``.

        Raises:
            UsageError: when nothing is called so.
        """
        if name not in self.datasets:
            self.find(name)
        return self.sources[name]

    def datasource_settings(self, name: str) -> DatasourceSettings:
        """Return the settings of a datasource.

        Raises:
            ConfigError: when ``dq.toml`` has none of that name.
        """
        try:
            return self.datasources[name]
        except KeyError:
            raise ConfigError(
                f"{FILE}: there is no [datasources.{name}]; {suggest(name, tuple(self.datasources))}"
            ) from None

    def airflow_settings(self, name: str | None) -> AirflowSettings:
        """Return the settings of an Airflow; None: of the only one.

        Raises:
            ConfigError: when ``dq.toml`` has none of that name, or several.
        """
        known = tuple(self.airflows)
        if name is None and len(known) == 1:
            return self.airflows[known[0]]
        if name in known:
            return self.airflows[str(name)]
        if name is not None:
            raise ConfigError(f"{FILE}: there is no [airflow.{name}]; {suggest(name, known)}")
        if known:
            raise ConfigError(f"{FILE}: it has {', '.join(known)}; say which one has the DAG, airflow=")
        raise ConfigError(f"{FILE}: it has no [airflow.NAME] where a DAG could be looked at")

    def secret(self, text: str, place: str) -> Secret:
        """Return ``text`` as a secret of this project, not resolved yet.

        Args:
            text: a reference such as ``env:NAME``, or a text that is none.
            place: where it was written, for errors, e.g. ``alerting/routes.toml: channels.pager.routing_key``.
        """
        return Secret(text, place, self.root)


def find_root(path: Path | None = None) -> Path:
    """Return the folder of the project: the nearest one upwards that has a ``dq.toml``.

    Args:
        path: where to begin, a file or a folder. What is not found from there is looked for in ``DQ_HOME``. None:
            ``DQ_HOME`` first, then upwards from the working directory.

    Raises:
        ConfigError: when there is none.
    """
    home = os.environ.get("DQ_HOME")
    if path is None and home:
        return _home(home)
    begin = (path or Path()).absolute()
    for folder in (begin, *begin.parents):
        if (folder / FILE).is_file():
            return folder
    if home:
        return _home(home)
    raise ConfigError(f"there is no {FILE} in {begin} or above it; make a project with `dq init`, or set DQ_HOME")


def _home(home: str) -> Path:
    if not (Path(home) / FILE).is_file():
        raise ConfigError(f"DQ_HOME is {home}, but there is no {FILE} in it")
    return Path(home).absolute()


def load_project(path: Path | None = None, *, declarations: bool = True) -> Project:
    """Return the project that ``path`` lies in.

    A file of declarations that does not load takes no other down: it is told in ``failures``.

    Args:
        path: as in :func:`find_root`.
        declarations: whether ``checks/`` and ``reports/`` are loaded; the pump, for one, needs ``dq.toml`` only.

    Raises:
        ConfigError: when there is no project, or its ``dq.toml`` is refused.
    """
    root = find_root(path)
    settings = read_settings(root)
    declared = load_declarations(root) if declarations else Declared()
    return Project(
        root=root,
        suites={name: value for name, value in declared.values.items() if isinstance(value, Suite)},
        reconciliations={name: value for name, value in declared.values.items() if isinstance(value, Reconciliation)},
        datasets={name: value for name, value in declared.values.items() if isinstance(value, Dataset)},
        failures=tuple(dict.fromkeys(declared.failures)),
        sources=declared.sources,
        **settings,
    )


def read_settings(root: Path) -> dict[str, Any]:
    """Return what ``root/dq.toml`` says, as the fields of :class:`Project`.

    Raises:
        ConfigError: when it cannot be read or says something dq does not know; the sentence names the place.
    """
    try:
        raw = tomllib.loads((root / FILE).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{FILE}: it is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{FILE}: it cannot be read: {why}") from None
    top = Section(FILE, "", raw, root)
    environment, override = top.text("environment", "dev"), os.environ.get("DQ_ENVIRONMENT")
    store = top.section("store")
    guard = top.section("guard")
    sources = top.section("datasources")
    airflows = top.section("airflow")
    watch = top.section("watch")
    params = top.section("params")
    settings = {
        "environment": _plain(override, "DQ_ENVIRONMENT")
        if override
        else _plain(environment, top.place("environment")),
        "store": StoreSettings(store.url("url", "sqlite:///var/dq.sqlite"), store.password("password")),
        "datasources": {name: _datasource(name, sources.section(name)) for name in sources.raw},
        "airflows": {name: _airflow(name, airflows.section(name)) for name in airflows.raw},
        "watch": WatchSettings(watch.duration("every", "20s"), watch.password("ping")),
        "refuse_functions": guard.texts("refuse_functions"),
        "params": params.raw,
        "masking": _masking(top.section("masking")),
    }
    for section in (top, store, guard, watch):
        section.refuse_unknown()
    return settings


def _plain(name: str, place: str) -> str:
    """Return a name that stands in subjects, keys and addresses of alerts.

    Raises:
        ConfigError: when it is no plain name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{place}: it must be up to 60 letters, digits, '_', '.' and '-', such as prod")
    return name


def _masking(section: Section) -> dict[str, Masking]:
    for tag in section.raw:
        how = section.text(tag, None)
        if how not in MASKINGS:
            raise ConfigError(f"{section.place(tag)}: it is {how!r}, not one of {', '.join(MASKINGS)}")
    return dict(section.raw)


def _datasource(name: str, section: Section) -> DatasourceSettings:
    settings = DatasourceSettings(
        name,
        url=section.url("url"),
        password=section.password("password"),
        timeout=section.duration("timeout", "5m"),
        read_only=section.flag("read_only", default=True),
        parallel=section.count("parallel"),
        max_connections=section.count("max_connections"),
        write=section.flag("write", default=False),
    )
    section.refuse_unknown()
    if settings.parallel and settings.max_connections and settings.parallel > settings.max_connections:
        raise ConfigError(f"{section.place('parallel')}: it is more than max_connections")
    return settings


def _airflow(name: str, section: Section) -> AirflowSettings:
    settings = AirflowSettings(
        _plain(name, f"{section.file}: {section.path}"),
        url=section.url("url"),
        user=section.get("user", str, "a text", "") or None,
        password=section.password("password"),
        token=section.password("token"),
        timeout=section.duration("timeout", "10s"),
    )
    section.refuse_unknown()
    url = settings.url
    if not url.is_reference and (problem := server_problem(url.text)):
        raise ConfigError(f"{url.place}: it {problem}")
    if (settings.user is None) != (settings.password is None):
        raise ConfigError(f"{section.place('user')}: user and password come together")
    if settings.token is not None and settings.user is not None:
        raise ConfigError(f"{section.place('token')}: give token, or user and password, not both")
    return settings
