"""When a suite is due: what ``should_run=`` of :func:`dq.airflow.suite_group` takes, beside a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow.providers.common.compat.sdk import Asset
from attrs import field, frozen, validators

from dq.model.errors import DeclarationError


@frozen
class Sql:
    """Due when the one value that a SELECT returns is true; no row and NULL are not.

    Attributes:
        datasource: its name in ``dq.toml``.
        sql: one SELECT, with Jinja as in a check, e.g. ``SELECT count(*) > 0 FROM orders WHERE day = '{{ ds }}'``.
    """

    datasource: str
    sql: str


@frozen
class EveryNth:
    """Of so many runs of the DAG one is due, the first one to begin with. A run that is cleared keeps its answer.

    Attributes:
        runs: how many; 2 or more.
    """

    runs: int = field(validator=[validators.instance_of(int), validators.ge(2)])


def _asset(given: Asset | str) -> Asset:
    return Asset(given) if isinstance(given, str) else given


@frozen
class NewData:
    """Due when an asset was updated since the last successful run of the DAG began; in the first run, too.

    Attributes:
        asset: the Airflow asset, or its name and URI where both are the same.
    """

    asset: Asset = field(converter=_asset)


When = Callable[[Mapping[str, Any]], object] | Sql | EveryNth | NewData


def checked(when: object) -> When | None:
    """Return ``when`` if it can be asked.

    Raises:
        DeclarationError: when it is none of the kinds of ``When``.
    """
    if when is None or callable(when) or isinstance(when, Sql | EveryNth | NewData):
        return when
    raise DeclarationError(
        f"should_run={when!r} is neither a function of the Airflow context nor one of dq.airflow.when: "
        "Sql(...), EveryNth(...), NewData(...)"
    )
