"""Cases of other projects in dq's words: a kind and its parameters become checks. dq's public API only, no verdict."""

from __future__ import annotations

from dq import ShowRows, Suite
from tests.conformance.asked import Asked, NotTranslated, Source
from tests.conformance.dbt import dbt_expectations, dbt_utils
from tests.conformance.deequ import deequ
from tests.conformance.great_expectations import great_expectations
from tests.conformance.pointblank import pointblank
from tests.conformance.soda import soda

SOURCES: dict[str, Source] = {
    "great_expectations": great_expectations,
    "soda-core": soda,
    "python-deequ": deequ,
    "dbt-utils": dbt_utils,
    "dbt-expectations": dbt_expectations,
    "pointblank": pointblank,
}
MOST_SHOWN = 1_000
"""As many failing rows as dq lists at most."""

OF_THE_TABLE = {"columns_set", "columns_ordered", "column_exists", "column_to_exist"}
"""Kinds that look at the columns of a table, as those with one of these words in their names do."""


def source_of(project: str) -> str:
    """Return the name of a source; some cases give it with its owner."""
    return project.rsplit("/", 1)[-1]


def looks_at_columns(kind: str) -> bool:
    """Return whether a kind looks at the columns of the table, so that none may stand beside those of the case."""
    return kind in OF_THE_TABLE or kind.startswith(("table_column", "column_count"))


def translate(asked: Asked) -> Suite:
    """Return the suite that a case asks for.

    Raises:
        NotTranslated: when there is no word for it.
        DeclarationError: when dq refuses what the case asks.
    """
    source = SOURCES[source_of(asked.case["source"]["project"])]
    found = source.kinds.get(asked.kind)
    if found is None:
        raise NotTranslated(f"the kind {asked.kind}")
    shown = ShowRows(most=asked.get("sample_limit", MOST_SHOWN), always=True)
    return Suite("case", asked.table_of(None), checks=found(asked), show=shown)
