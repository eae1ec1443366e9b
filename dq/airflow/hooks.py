"""The connection types of dq: what a pager needs, with a form of its own in Airflow's list of connections.

They only hold secrets. A channel of ``alerting/routes.toml`` refers to them (:mod:`dq.airflow.connections`), dq sends.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import BaseHook, Connection

from dq.address import address_problem
from dq.airflow_provider import HOOK_NAMES, PAGERDUTY_FORM, VICTOROPS_FORM

VICTOROPS_URL = "https://alert.victorops.com/integrations/generic/20131114/alert"
"""Where Splunk On-Call takes alerts (help.splunk.com, "REST Endpoint integration for Splunk On-Call")."""

_INTEGRATION_KEY = re.compile(r"[A-Za-z0-9]{32}")
_NOTHING_SENT = "; nothing was sent, use `dq alerts selftest --send` for that"


class PagerDutyHook(BaseHook):
    """A connection ``dq_pagerduty``: the integration key is its password.

    Attributes:
        dq_pagerduty_conn_id: the id of the connection.
    """

    conn_name_attr: ClassVar[str] = "dq_pagerduty_conn_id"
    default_conn_name: ClassVar[str] = "dq_pagerduty_default"
    conn_type: ClassVar[str] = "dq_pagerduty"
    hook_name: ClassVar[str] = HOOK_NAMES["dq_pagerduty"]

    def __init__(self, dq_pagerduty_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.dq_pagerduty_conn_id = dq_pagerduty_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form for Airflow 2.11."""
        return dict(PAGERDUTY_FORM)

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the form is filled in; a test that sent something would wake somebody."""
        key = self.get_connection(self.dq_pagerduty_conn_id).password or ""
        if not _INTEGRATION_KEY.fullmatch(key):
            return False, f"an integration key is 32 letters and digits; here stand {len(key)} characters"
        return True, f"the integration key has the form of one{_NOTHING_SENT}"


class VictorOpsHook(BaseHook):
    """A connection ``dq_victorops``: the API key is its password, the routing key its login, the endpoint its host.

    Attributes:
        dq_victorops_conn_id: the id of the connection.
    """

    conn_name_attr: ClassVar[str] = "dq_victorops_conn_id"
    default_conn_name: ClassVar[str] = "dq_victorops_default"
    conn_type: ClassVar[str] = "dq_victorops"
    hook_name: ClassVar[str] = HOOK_NAMES["dq_victorops"]

    def __init__(self, dq_victorops_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.dq_victorops_conn_id = dq_victorops_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form for Airflow 2.11."""
        return dict(VICTOROPS_FORM)

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the form is filled in; a test that sent something would wake somebody."""
        connection = self.get_connection(self.dq_victorops_conn_id)
        needed = {"API key": connection.password, "routing key": connection.login}
        if empty := [name for name, value in needed.items() if not value]:
            return False, f"the {' and the '.join(empty)} must not be empty"
        if problem := address_problem(victorops_url(connection), allow_http=True):
            return False, f"the REST endpoint {problem}"
        return True, f"the API key and the routing key are there{_NOTHING_SENT}"


def victorops_url(connection: Connection) -> str:
    """Return the address to which the routing key is appended; it holds the API key, so it is a secret."""
    return f"{(connection.host or VICTOROPS_URL).rstrip('/')}/{connection.password}"
