"""An Airflow on loopback that answers as the REST APIs of 3.3 and 2.11 do, where the tests say what there is.

Its answers have the fields of the real ones, which ``tests/test_rest.py`` holds against Airflow's OpenAPI documents. It
can be told to fail, to hang, and to forget the tokens that it gave. ``tests/airflow/test_rest.py`` asks real ones.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections import deque
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import uuid4

from attrs import define, field

HOST = "127.0.0.1"
MOST = 100
"""[api] maximum_page_limit."""


@define(eq=False)
class ModelAirflow:
    """An Airflow; a context manager that stops it.

    Attributes:
        line: ``3.3`` or ``2.11``.
        login: the only user and password; None: everybody may do everything.
        stamps: what the health says, by component; None: it has never run.
        trouble: what comes next instead of an answer: a status, a status and a body, ``hang``, or None for the answer.
        asked: what was asked: the method, the path with its query, the body, the status of the answer.
    """

    line: str = "3.3"
    login: tuple[str, str] | None = None
    stamps: dict[str, tuple[str, datetime | None] | None] = field(factory=dict)
    trouble: deque[Any] = field(factory=deque)
    asked: list[tuple[str, str, Any, int]] = field(factory=list)
    tokens: set[str] = field(factory=set)
    _dags: dict[str, dict[str, Any]] = field(factory=dict)
    _runs: list[dict[str, Any]] = field(factory=list)
    _tasks: list[dict[str, Any]] = field(factory=list)
    _let_go: threading.Event = field(factory=threading.Event)
    _server: ThreadingHTTPServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._server = ThreadingHTTPServer((HOST, 0), type("Handler", (_Handler,), {"airflow": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self._server.server_port}"

    def stop(self) -> None:
        """Stop it: from now on it refuses connections."""
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------------------------------------------- what there is
    def dag(self, dag_id: str, *, paused=False, stale=False, next_run_after=None, has_import_errors=False) -> None:
        """Add a DAG, or change one."""
        common = {
            "dag_id": dag_id, "dag_display_name": dag_id, "is_paused": paused, "last_parsed_time": None,
            "last_expired": None, "fileloc": f"dags/{dag_id}.py", "description": None, "timetable_description": "",
            "tags": [], "max_active_tasks": 16, "max_active_runs": 16, "max_consecutive_failed_dag_runs": 0,
            "has_task_concurrency_limits": False, "has_import_errors": has_import_errors,
            "next_dagrun_data_interval_start": None, "next_dagrun_data_interval_end": None, "owners": ["airflow"],
            "file_token": "token",
        }  # fmt: skip
        at = _iso(next_run_after)
        self._dags[dag_id] = common | (
            {
                "is_stale": stale, "last_parse_duration": 0.1, "bundle_name": "dags-folder", "bundle_version": None,
                "relative_fileloc": f"{dag_id}.py", "timetable_summary": None, "timetable_partitioned": False,
                "timetable_periodic": True, "next_dagrun_logical_date": None, "next_dagrun_run_after": at,
                "allowed_run_types": None, "is_backfillable": True,
            }
            if self.line == "3.3"
            else {
                "is_active": not stale, "root_dag_id": None, "is_subdag": False, "last_pickled": None,
                "scheduler_lock": None, "pickle_id": None, "default_view": "grid",
                "schedule_interval": {"__type": "CronExpression", "value": "0 0 * * *"}, "next_dagrun": None,
                "next_dagrun_create_after": at,
            }
        )  # fmt: skip

    def run(self, dag_id: str, run_id: str, state: str, *, run_after=None, logical_date=None, data_interval=None,
            queued_at=None, started_at=None, ended_at=None, run_type="scheduled") -> None:  # fmt: skip
        """Add a run."""
        start, end = data_interval or (None, None)
        common = {
            "dag_run_id": run_id, "dag_id": dag_id, "logical_date": _iso(logical_date), "start_date": _iso(started_at),
            "end_date": _iso(ended_at), "data_interval_start": _iso(start), "data_interval_end": _iso(end),
            "last_scheduling_decision": None, "run_type": run_type, "state": state, "conf": {}, "note": None,
        }  # fmt: skip
        self._runs.append(
            common
            | (
                {
                    "queued_at": _iso(queued_at), "duration": None, "run_after": _iso(run_after or end or logical_date),
                    "triggered_by": "timetable", "triggering_user_name": None, "dag_versions": [],
                    "bundle_version": None, "dag_display_name": dag_id, "partition_key": None, "partition_date": None,
                }
                if self.line == "3.3"
                else {"execution_date": _iso(logical_date), "external_trigger": False}
            )
        )  # fmt: skip

    def task(self, dag_id: str, run_id: str, task_id: str, state: str | None, *, map_index=-1, started_at=None,
             ended_at=None) -> None:  # fmt: skip
        """Add a task instance."""
        common = {
            "task_id": task_id, "dag_id": dag_id, "dag_run_id": run_id, "map_index": map_index,
            "start_date": _iso(started_at), "end_date": _iso(ended_at), "duration": None, "state": state,
            "try_number": 1, "max_tries": 0, "task_display_name": task_id, "hostname": "", "unixname": "airflow",
            "pool": "default_pool", "pool_slots": 1, "queue": "default", "priority_weight": 1,
            "operator": "PythonOperator", "queued_when": None, "pid": None, "executor": None, "executor_config": "{}",
            "note": None, "rendered_map_index": None, "rendered_fields": {}, "trigger": None, "triggerer_job": None,
        }  # fmt: skip
        self._tasks.append(
            common
            | (
                {
                    "id": str(uuid4()), "logical_date": None, "run_after": "2026-11-21T00:00:00Z",
                    "dag_display_name": dag_id, "operator_name": "PythonOperator", "scheduled_when": None,
                    "dag_version": None,
                }
                if self.line == "3.3"
                else {"execution_date": "2026-11-20T00:00:00+00:00", "sla_miss": None}
            )
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------- what it answers
    def answer(self, method: str, target: str, headers: Any, body: Any) -> tuple[int, Any]:
        """Return the status of an answer, and what it says."""
        path, query = urlsplit(target).path, dict(parse_qsl(urlsplit(target).query))
        if self.line == "3.3" and path == "/auth/token":
            return self._token(method, body)
        api = "/api/v2/" if self.line == "3.3" else "/api/v1/"
        parts = [method, *map(unquote, path.removeprefix(api).split("/"))] if path.startswith(api) else []
        if parts == ["GET", "version"]:
            return 200, {"version": "3.3.2" if self.line == "3.3" else "2.11.2", "git_version": None}
        if parts == ["GET", *(["monitor", "health"] if self.line == "3.3" else ["health"])]:
            return 200, self._health()
        if parts and (denied := self._denied(headers.get("Authorization", ""))):
            return denied
        match parts:
            case ["GET", "dags"]:
                return 200, self._list_dags(query)
            case ["POST", "dags", "~", "dagRuns", "list"]:
                return self._list_runs(body)
            case ["GET", "dags", dag_id, "dagRuns", run_id, "taskInstances"]:
                return self._list_tasks(dag_id, run_id, query)
        return 404, {"error": "API route not found"} if self.line == "3.3" else "<html>Airflow 404</html>"

    def _token(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "GET" and self.login:
            return 403, {"detail": "This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True"}
        if method == "POST" and self.login and (body.get("username"), body.get("password")) != self.login:
            return 401, {"detail": "Invalid credentials"}
        token = secrets.token_hex(8)
        self.tokens.add(token)
        return 201, {"access_token": token}

    def _denied(self, authorization: str) -> tuple[int, Any] | None:
        kind, _, given = authorization.partition(" ")
        if self.line == "3.3":
            if not given:
                return 401, {"detail": "Not authenticated"}
            return None if kind == "Bearer" and given in self.tokens else (401, {"detail": "Token Expired"})
        if self.login is None:
            return None
        if kind == "Basic" and base64.b64decode(given).decode() == ":".join(self.login):
            return None
        return 401, {"detail": None, "status": 401, "title": "Unauthorized", "type": "about:blank"}

    def _health(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name in ("metadatabase", "scheduler", "triggerer", "dag_processor"):
            status, at = self.stamps.get(name, ("healthy", None)) or (None, None)
            said[name] = {"status": status} | ({} if name == "metadatabase" else {f"latest_{name}_heartbeat": _iso(at)})
        return said

    def _list_dags(self, query: dict[str, str]) -> dict[str, Any]:
        flag, hidden = ("exclude_stale", "is_stale") if self.line == "3.3" else ("only_active", "is_active")
        shown = [self._dags[name] for name in sorted(self._dags)]
        if query.get(flag, "true") == "true":
            shown = [one for one in shown if one[hidden] is (self.line != "3.3")]
        if pattern := query.get("dag_id_pattern"):
            shown = [one for one in shown if pattern.lower() in one["dag_id"].lower()]
        return self._part("dags", shown, min(int(query["limit"]), MOST), query["offset"])

    def _list_runs(self, body: dict[str, Any]) -> tuple[int, Any]:
        by, at = ("run_after_gte", "run_after") if self.line == "3.3" else ("execution_date_gte", "execution_date")
        if unknown := body.keys() - {"order_by", "page_offset", "page_limit", "dag_ids", "states", by}:
            return (422 if self.line == "3.3" else 400), {"detail": f"unknown: {unknown}"}
        since = datetime.fromisoformat(body[by])
        shown = [
            one for one in self._runs
            if one["dag_id"] in body["dag_ids"] and datetime.fromisoformat(one[at]) >= since
        ]  # fmt: skip
        return 200, self._part("dag_runs", shown, body["page_limit"], body["page_offset"])

    def _list_tasks(self, dag_id: str, run_id: str, query: dict[str, str]) -> tuple[int, Any]:
        if self.line == "3.3" and (dag_id, run_id) not in {(run["dag_id"], run["dag_run_id"]) for run in self._runs}:
            return 404, {"detail": f"DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found"}
        shown = [one for one in self._tasks if (one["dag_id"], one["dag_run_id"]) == (dag_id, run_id)]
        return 200, self._part("task_instances", shown, query["limit"], query["offset"])

    def _part(self, key: str, shown: list[Any], limit: Any, offset: Any) -> dict[str, Any]:
        more = {} if self.line == "2.11" or key == "dags" else {
            "total_entries_limit": None, "next_cursor": None, "previous_cursor": None
        }  # fmt: skip
        most = min(int(limit), MOST) if key == "task_instances" else int(limit)
        return {key: shown[int(offset) : int(offset) + most], "total_entries": len(shown), **more}


class _Handler(BaseHTTPRequestHandler):
    airflow: ModelAirflow

    def _serve(self) -> None:
        airflow = self.airflow
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        trouble = airflow.trouble.popleft() if airflow.trouble else None
        if trouble == "hang":
            airflow._let_go.wait(30)
            return
        if trouble is None:
            status, said = airflow.answer(self.command, self.path, self.headers, body)
        else:
            status, said = trouble if isinstance(trouble, tuple) else (trouble, {"detail": "trouble"})
        airflow.asked.append((self.command, self.path, body, status))
        html = isinstance(said, str)
        answer = said.encode() if html else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.send_header("Content-Length", str(len(answer)))
        if status in (301, 302, 307):
            self.send_header("Location", "/login")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _serve  # noqa: N815  # the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
