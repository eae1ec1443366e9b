"""What Airflow is told of dq: the entry point ``apache_airflow_provider``.

Every process of Airflow calls this while it starts, the scheduler and each ``airflow`` command too, and one that fails
here takes them all down. So this module stands outside of :mod:`dq.airflow` and imports nothing: that package needs an
Airflow that has already started.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return what dq brings, in the form of Airflow's ``provider_info.schema.json``.

    Airflow 3.2 and later draw the form of a connection from this alone; Airflow 2.11 asks the hook, which tells the
    same (:mod:`dq.airflow.hooks`).
    """
    return {
        "package-name": "dq-sla",
        "name": "dq",
        "description": "Data quality and SLA: checks, reconciliations and promises, judged exactly and told once.",
        "notifications": ["dq.airflow.notify.DqNotifier"],
        "connection-types": [
            {
                "connection-type": kind,
                "hook-class-name": f"dq.airflow.hooks.{hook}",
                "hook-name": HOOK_NAMES[kind],
                "ui-field-behaviour": {
                    "hidden-fields": list(form["hidden_fields"]),
                    "relabeling": dict(form["relabeling"]),
                    "placeholders": dict(form["placeholders"]),
                },
            }
            for kind, hook, form in (
                ("dq_pagerduty", "PagerDutyHook", PAGERDUTY_FORM),
                ("dq_victorops", "VictorOpsHook", VICTOROPS_FORM),
            )
        ],
    }


HOOK_NAMES = {"dq_pagerduty": "PagerDuty, Events API v2 (dq)", "dq_victorops": "VictorOps / Splunk On-Call (dq)"}
"""How the lists of connection types call them."""

PAGERDUTY_FORM: dict[str, Any] = {
    "hidden_fields": ["host", "schema", "login", "port", "extra"],
    "relabeling": {"password": "Integration key"},
    "placeholders": {"password": "the 32 characters of an Events API v2 integration"},
}
"""The form of a connection ``dq_pagerduty``, as ``customized_form_field_behaviours.schema.json`` of Airflow has it."""

VICTOROPS_FORM: dict[str, Any] = {
    "hidden_fields": ["schema", "port", "extra"],
    "relabeling": {"host": "REST endpoint", "login": "Routing key", "password": "API key"},
    "placeholders": {
        "host": "empty: https://alert.victorops.com/integrations/generic/20131114/alert",
        "login": "which team is called, e.g. warehouse",
        "password": "the part of the endpoint's URL before the routing key",
    },
}
"""The form of a connection ``dq_victorops``."""
