"""What an Airflow says through its public REST API, to somebody outside of it: v2 of Airflow 3, v1 of Airflow 2.

    asked for    request                                  what differs in v1
    -----------  ---------------------------------------  ---------------------------------------------------------
    the version  GET /api/v2/version, /api/v1/version     -
    health       GET monitor/health                       GET health
    dags         GET dags                                 ``is_active`` and ``next_dagrun_create_after``
    runs         POST dags/~/dagRuns/list                 by logical date; neither ``run_after`` nor ``queued_at``
    tasks        GET dags/DAG/dagRuns/RUN/taskInstances   -

Sources: the OpenAPI documents of 3.3 (``airflow/api_fastapi/core_api/openapi``) and 2.11
(``airflow/api_connexion/openapi/v1.yaml``). There is a form of the last request for many runs at once; it is not used,
because Airflow 3 writes a line in its audit log whenever it is.

Whatever goes wrong is an :class:`AirflowError`:

    what came                                       down
    ----------------------------------------------  ----
    no connection, or no whole answer in time       yes
    429, or 500 and above                           yes
    any other status that is none of success        no
    something that is not what Airflow says         no
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from attrs import define, field

from dq.address import server_problem
from dq.http import Reply, UnreachableError, request
from dq.model.airflow import Component, Dag, DagRun, TaskState
from dq.model.errors import AirflowError, ConfigError
from dq.project import FILE, AirflowSettings
from dq.secret import Secret
from dq.sla import replies

PAGE = 200
"""So many of a list are asked for at once; an Airflow may give fewer: of DAGs and tasks 100, as it is set up."""

_LONGEST = 32 * 1024 * 1024
# A run is found by when it was due. Airflow 2 looks at when its data begin, which on the day on which clocks go back is
# so much earlier than a day before.
_CLOCK_CHANGE = timedelta(hours=1)

_T = TypeVar("_T")


class _NotFoundError(AirflowError):
    """There is no such thing."""


@define
class Airflow:
    """An Airflow that is asked from outside. It remembers which API there is, and the token that it was given.

    Attributes:
        settings: where it is, and who dq is there.
    """

    settings: AirflowSettings
    _api: str = field(default="", init=False)
    _given: str | None = field(default=None, init=False, repr=False)  # a token; "": it gives none

    # ------------------------------------------------------------------------------------------------ what is asked
    def health(self) -> tuple[Component, ...]:
        """Return how its parts are doing.

        Raises:
            AirflowError: when it does not say.
        """
        path = "/api/v2/monitor/health" if self._line() == "v2" else "/api/v1/health"
        # Everybody may ask that, so it can be told apart from a login that does not work.
        return self._read(replies.components, self._document(self._send("GET", path, self._bearer())))

    def dags(self, names: Collection[str]) -> Mapping[str, Dag]:
        """Return the DAGs of these names, also paused and stale ones; those that it does not know are absent.

        All of them are listed, unless asking for the ones that are still missing takes fewer requests.

        Raises:
            AirflowError: when it does not say.
        """
        missing, found = {*names}, dict[str, Dag]()
        if not missing:
            return found
        also_stale = {"exclude_stale" if self._line() == "v2" else "only_active": "false"}
        for page, left in self._pages("GET", "dags", "dags", replies.dag, **also_stale):
            found |= {dag.dag_id: dag for dag in page if dag.dag_id in missing}
            missing -= found.keys()
            if len(missing) * len(page) < left:
                break
        else:
            return found
        for name in sorted(missing):
            for page, _ in self._pages("GET", "dags", "dags", replies.dag, dag_id_pattern=name, **also_stale):
                found |= {dag.dag_id: dag for dag in page if dag.dag_id == name}
        return found

    def runs(self, dag_ids: Collection[str], since: datetime) -> tuple[DagRun, ...]:
        """Return the runs of these DAGs, in the order in which they were made.

        Args:
            dag_ids: their ids; what is unknown has no runs.
            since: an aware time, the start of the oldest partition that matters. Left out are runs that were due before
                it, and on Airflow 2 those whose logical date is an hour or more before it.

        Raises:
            AirflowError: when it does not say.
        """
        if not dag_ids:
            return ()
        if self._line() == "v2":
            after = {"run_after_gte": since.isoformat()}
        else:
            after = {"execution_date_gte": (since - _CLOCK_CHANGE).isoformat()}
        asked = {"dag_ids": sorted(dag_ids), "order_by": "id", **after}
        pages = self._pages("POST", "dags/~/dagRuns/list", "dag_runs", replies.run, **asked)
        return tuple({(run.dag_id, run.run_id): run for page, _ in pages for run in page}.values())

    def tasks(self, dag_id: str, run_id: str) -> Mapping[str, TaskState]:
        """Return the tasks of a run by id; none when there is no such run.

        Raises:
            AirflowError: when it does not say.
        """
        path = f"dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        instances: defaultdict[str, list[TaskState]] = defaultdict(list)
        try:
            for page, _ in self._pages("GET", path, "task_instances", replies.instance):
                for task_id, instance in page:
                    instances[task_id].append(instance)
        except _NotFoundError:
            return {}
        return {task_id: replies.together(mapped) for task_id, mapped in instances.items()}

    # ---------------------------------------------------------------------------------------------- how it is asked
    def _pages(
        self, method: str, path: str, key: str, read: Callable[[Any], _T], **asked: Any
    ) -> Iterator[tuple[list[_T], int]]:
        """Yield a list part by part, each with how many are left behind it."""
        offset, left = 0, 1
        while left > 0:
            if method == "GET":
                said = self._ask(method, f"{path}?{urlencode({**asked, 'limit': PAGE, 'offset': offset})}")
            else:
                said = self._ask(method, path, {**asked, "page_limit": PAGE, "page_offset": offset})
            page, total = self._read(lambda one: ([read(each) for each in one[key]], int(one["total_entries"])), said)
            offset += len(page)
            left = total - offset if page else 0
            yield page, left

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        remembered = self._given is not None
        path = f"/api/{self._line()}/{path}"
        reply = self._send(method, path, self._authorization(), body)
        # The key with which tokens are signed may be another one since the server was started again.
        if remembered and (reply.status == 401 or (reply.status == 403 and b"Invalid JWT" in reply.body)):
            self._given = None
            reply = self._send(method, path, self._authorization(), body)
        return self._document(reply)

    def _line(self) -> str:
        """Return which API there is, ``v2`` or ``v1``."""
        for api in () if self._api else ("v2", "v1"):
            reply = self._send("GET", f"/api/{api}/version", self._bearer())
            if reply.status != 404:
                self._read(lambda said: said["version"], self._document(reply))
                self._api = api
                break
        if not self._api:
            raise self._error("has no API of Airflow where its url leads", down=False)
        return self._api

    def _bearer(self) -> str:
        return f"Bearer {self._revealed(self.settings.token)}" if self.settings.token else ""

    def _authorization(self) -> str:
        """Return what says who dq is; empty where nobody needs to know."""
        user, password = self.settings.user, self.settings.password
        if self.settings.token:
            return self._bearer()
        if self._line() == "v1":
            if user is None or password is None:
                return ""
            return "Basic " + base64.b64encode(f"{user}:{self._revealed(password)}".encode()).decode()
        if self._given is None:
            self._given = self._token(user, password)
        return f"Bearer {self._given}" if self._given else ""

    def _token(self, user: str | None, password: Secret | None) -> str:
        """Return a token of Airflow 3; empty where it gives none to somebody without a name."""
        if user is None or password is None:
            reply = self._send("GET", "/auth/token")  # where everybody is an administrator
            if 300 <= reply.status < 500 and reply.status != 429:
                return ""
        else:
            reply = self._send("POST", "/auth/token", "", {"username": user, "password": self._revealed(password)})
        return self._read(lambda said: str(said["access_token"]), self._document(reply))

    def _send(self, method: str, path: str, authorization: str = "", body: Mapping[str, Any] | None = None) -> Reply:
        url = self._revealed(self.settings.url)
        if problem := server_problem(url):
            raise self._error(f"cannot be asked: its url {problem}", down=False)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        try:
            return request(
                method,
                url.rstrip("/") + path,
                timeout=self.settings.timeout.total_seconds(),
                body=None if body is None else json.dumps(body).encode(),
                headers=headers | ({"Authorization": authorization} if authorization else {}),
                longest=_LONGEST,
            )
        except UnreachableError as error:
            raise self._error(f"does not answer: {error}", down=error.retry) from None

    def _document(self, reply: Reply) -> Any:
        status = reply.status
        if status == 404:
            self._api = ""  # it may have been replaced by one of the other line
        if not 200 <= status < 300:
            kind = _NotFoundError if status == 404 else AirflowError
            why = _PROBLEMS.get(status, "").format(self.settings.name)
            raise self._error(f"answers with {status}{why}", down=status == 429 or status >= 500, kind=kind)
        if not reply.whole:
            raise self._error("does not answer: the answer did not end in time, or is too long", down=True)
        return self._read(json.loads, reply.body)

    def _read(self, read: Callable[[Any], _T], said: Any) -> _T:
        try:
            return read(said)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise self._error("does not answer as Airflow does; is its url right?", down=False) from None

    def _revealed(self, secret: Secret) -> str:
        try:
            return secret.reveal()
        except ConfigError as error:
            raise self._error(f"cannot be asked: {error}", down=False) from None

    def _error(self, text: str, *, down: bool, kind: type[AirflowError] = AirflowError) -> AirflowError:
        return kind(f"Airflow {self.settings.name} {text}", down=down)


_PROBLEMS = {
    **dict.fromkeys(range(300, 400), ": redirects are not followed; is its url right?"),
    401: f": look at user, password and token of [airflow.{{}}] in {FILE}",
    403: f": who is named in [airflow.{{}}] of {FILE} may not read this",
    404: ": is its url right?",
}
