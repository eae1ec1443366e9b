"""How the Airflow around dq is doing: what ``dq doctor --airflow`` looks at, in the component in which it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import conf
from packaging.version import Version

from dq.address import is_loopback
from dq.app.diagnosing import Finding, on_several_hosts
from dq.model.duration import format_duration
from dq.model.errors import ConfigError, DqError
from dq.project import FILE, find_root, read_settings

PACKAGE = "dq-sla"
FLOOR, DEADLINES = Version("2.11"), Version("3.3.2")
"""The oldest Airflow on which dq runs, and on which its deadlines do: earlier 3.x lose them when a DAG is edited."""

TIMEOUT = 10
"""Seconds that the API server may take to answer."""

State = Literal["ok", "warn", "broken"]

_PROJECT, _SERVER = "airflow project", "airflow server"
_WHERE = ", and is its address right ([api] base_url, or --airflow URL)?"


def doctor(path: Path | None, address: str | None) -> tuple[Path | None, tuple[Finding, ...]]:
    """Look at the Airflow that is installed here and at the components that its API server knows of.

    Args:
        path: where the user says that the project is.
        address: the base URL of the API server (on Airflow 2 the web server); empty: as Airflow is configured; None:
            it is not asked, because it may start later than this component.

    Returns:
        Where the project is to be looked for, and what was found.
    """
    version = Version(airflow_version)
    start, where = _project(path)
    others = [] if address is None else _components(address or _address(version), version)
    return start, (_version(version), _provider(), _executor(start), where, *others)


def _version(version: Version) -> Finding:
    if version < FLOOR:
        return Finding("broken", "airflow", f"{version} is too old: dq needs {FLOOR} or newer")
    if version.major == 2:
        return Finding("ok", "airflow", f"{version}; it has no deadlines, so a watch DAG finds what is late")
    if version < DEADLINES:
        return Finding("warn", "airflow", f"{version} loses deadlines when a DAG is edited: update to {DEADLINES}")
    return Finding("ok", "airflow", str(version))


def _provider() -> Finding:
    from airflow.providers_manager import ProvidersManager

    manager: Any = ProvidersManager  # its methods have no types
    known = manager().providers.get(PACKAGE)
    if known is None:
        return Finding(
            "broken", "airflow provider", f"Airflow does not know {PACKAGE}; install its wheel in this environment"
        )
    return Finding("ok", "airflow provider", f"{PACKAGE} {known.version} is installed here, and Airflow knows it")


def _executor(start: Path | None) -> Finding:
    """Tell whether dq's store can be reached from where tasks run."""
    executor = conf.get("core", "executor")
    try:
        store = read_settings(find_root(start))["store"].url.reveal_url()
    except DqError:  # told where the project is looked at
        store = ""
    if on_several_hosts(executor) and store.startswith("sqlite"):
        return Finding(
            "broken",
            "airflow executor",
            f"{executor} runs tasks on several hosts, which do not share dq's SQLite store; "
            f"let [store] url in {FILE} lead to PostgreSQL or MariaDB",
        )
    return Finding("ok", "airflow executor", executor)


def _project(path: Path | None) -> tuple[Path | None, Finding]:
    """Return where the project is looked for, and whether the tasks and callbacks of this component find it."""
    folders, others = _dag_folders()
    found = next((folder for folder in folders if _leads(folder)), None)
    try:
        here = find_root(path)
    except ConfigError:
        here = None
    start = path if path is not None or here is not None else found
    home = os.environ.get("DQ_HOME")
    if home and not (Path(home) / FILE).is_file():
        told = Finding("broken", _PROJECT, f"DQ_HOME is set, but there is no {FILE} in its folder")
    elif found is not None and here is not None and find_root(found) != here:
        told = Finding("warn", _PROJECT, "the DAGs folder lies in another project than the one that is looked at here")
    elif found is not None:
        told = Finding("ok", _PROJECT, "the DAGs folder lies in it")
    elif home:
        told = Finding("ok", _PROJECT, "DQ_HOME leads to it")
    elif others:
        told = Finding(
            "warn", _PROJECT, "DAGs come in bundles, which are not looked into: does it lie in each of them?"
        )
    else:
        sentence = f"there is no {FILE} in the DAGs folder or above it: set DQ_HOME in every component"
        told = Finding("broken", _PROJECT, sentence)
    return start, told


def _leads(folder: Path) -> bool:
    return any((above / FILE).is_file() for above in (folder, *folder.parents))


def _dag_folders() -> tuple[list[Path], bool]:
    """Return the folders of DAG files on this machine, and whether there are bundles that are something else."""
    default = Path(conf.get("core", "dags_folder")).absolute()
    bundles = json.loads(conf.get("dag_processor", "dag_bundle_config_list", fallback="") or "[]")
    local = [bundle for bundle in bundles if str(bundle.get("classpath", "")).endswith(".LocalDagBundle")]
    folders = [Path(bundle.get("kwargs", {}).get("path") or default).absolute() for bundle in local]
    return folders if bundles else [default], len(local) < len(bundles)


def _address(version: Version) -> str:
    return str(conf.get("webserver" if version.major == 2 else "api", "base_url", fallback=""))


def _components(address: str, version: Version) -> list[Finding]:
    """Ask the API server how the scheduler, the DAG processor and the triggerer are doing."""
    if not address:
        return [_deaf("nothing says where it is: set [api] base_url, or give its URL behind --airflow")]
    try:
        with requests.get(
            address.rstrip("/") + ("/api/v1/health" if version.major == 2 else "/api/v2/monitor/health"),
            timeout=TIMEOUT,
            allow_redirects=False,
            proxies={"http": "", "https": ""} if is_loopback(urlsplit(address).hostname or "") else None,
        ) as answer:
            answer.raise_for_status()
            said = {name: part or {} for name, part in answer.json().items()}
            parts = [said[name]["status"] for name in ("metadatabase", "scheduler", "triggerer")]
    except requests.Timeout:
        return [_deaf(f"does not answer within {TIMEOUT} s")]
    except requests.HTTPError as error:
        return [_deaf(f"answers with {error.response.status_code}{_WHERE}")]
    except requests.ConnectionError:
        return [_deaf(f"does not answer; does it run{_WHERE}")]
    except (requests.RequestException, ValueError, LookupError, AttributeError, TypeError):
        return [_deaf(f"does not answer as Airflow does{_WHERE}")]
    if parts[0] != "healthy":
        return [_deaf("answers, but Airflow's database does not")]
    told = [Finding("ok", _SERVER, "answers"), _alive("scheduler", said, "broken")]
    # On Airflow 2 the scheduler may read DAG files itself.
    if version.major > 2 or said.get("dag_processor", {}).get("status") is not None:
        told.append(_alive("dag_processor", said, "broken"))
    if version < DEADLINES:
        return [*told, _alive("triggerer", said, "ok", f"; before Airflow {DEADLINES} dq needs none")]
    return [
        *told,
        _alive("triggerer", said, "broken", "; without it no deadline is looked at: start `airflow triggerer`"),
    ]


def _deaf(sentence: str) -> Finding:
    return Finding("broken", _SERVER, sentence)


def _alive(name: str, said: Mapping[str, Mapping[str, Any]], state: State, more: str = "") -> Finding:
    """Tell how a component is doing; ``state`` and ``more`` are for one that is not alive."""
    what, part = f"airflow {name.replace('_', ' ')}", said.get(name, {})
    last = part.get(f"latest_{name}_heartbeat")
    if last is None:
        return Finding(state, what, f"has never run{more}")
    age = format_duration(datetime.now(UTC) - datetime.fromisoformat(str(last)))
    if part.get("status") == "healthy":
        return Finding("ok", what, f"alive, last heartbeat {age} ago")
    return Finding(state, what, f"is not alive: its last heartbeat was {age} ago{more}")
