"""The 40 checks of the comparison, and the table of orders that they ask about.

Only the standard library: every contender imports this, each in an environment of its own.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, NamedTuple

ORGS = 1_000
BAD_SHARE = 20
"""An org is bad where more than one in this many of its rows is."""


class Check(NamedTuple):
    """One check, in the words of no tool.

    Attributes:
        name: unique; letters, digits and ``_``, because dbt makes a name of a view of it.
        family: ``not_null``, ``between``, ``one_of``, ``regex``, ``like``, ``rows``, ``aggregate``, ``unique``,
            ``reference`` or ``per_org``.
        column: what it asks about; for ``rows`` and ``per_org`` the predicate, for ``aggregate`` the expression.
        values: the set of ``one_of``, the two ends of ``between`` and ``aggregate``, the pattern of the texts, the
            table and column of ``reference``.
    """

    name: str
    family: str
    column: str
    values: tuple[Any, ...] = ()


SINCE, UNTIL = "2026-01-01 00:00:00", "2026-12-31 23:59:59"
# A NULL violates ``not_null`` and nothing else: tools differ there, and each is told so in its own way.
CHECKS = (
    *(
        Check(f"{column}_is_known", "not_null", column)
        for column in ("order_id", "order_no", "org_id", "customer_id", "status", "amount", "email", "created_at")
    ),
    Check("quantity_in_range", "between", "quantity", (1, 10)),
    Check("amount_in_range", "between", "amount", (0, 5_000)),
    Check("tax_in_range", "between", "tax", (0, 5_000)),
    Check("discount_in_range", "between", "discount", (0, 1_000)),
    Check("org_in_range", "between", "org_id", (1, ORGS)),
    Check("order_in_range", "between", "order_id", (0, 99_999_999)),
    Check("created_in_range", "between", "created_at", (SINCE, UNTIL)),
    Check("shipped_in_range", "between", "shipped_at", (SINCE, UNTIL)),
    Check("status_is_one_of", "one_of", "status", ("new", "paid", "shipped", "returned")),
    Check("currency_is_one_of", "one_of", "currency", ("EUR", "USD", "GBP", "CHF", "PLN")),
    Check("channel_is_one_of", "one_of", "channel", ("web", "shop", "phone")),
    Check("country_is_one_of", "one_of", "country", ("DE", "FR", "IT", "PL", "GB", "US", "CH")),
    Check("email_has_an_at", "like", "email", ("%_@_%",)),
    Check("order_no_has_its_form", "regex", "order_no", ("^ORD-[0-9]{10}$",)),
    Check("sku_has_its_form", "regex", "sku", ("^[A-Z]{3}-[0-9]{4}$",)),
    Check("currency_has_its_form", "regex", "currency", ("^[A-Z]{3}$",)),
    Check("tax_is_a_part", "rows", "tax <= amount"),
    Check("discount_is_a_part", "rows", "discount <= amount + 1000"),
    Check("shipped_after_made", "rows", "shipped_at >= created_at"),
    Check("shipped_has_a_time", "rows", "status <> 'shipped' OR shipped_at IS NOT NULL"),
    Check("pieces_cost_something", "rows", "amount >= 0.01 * quantity OR amount = 0"),
    Check("enough_rows", "aggregate", "count(*)", (1_000, 1_000_000_000)),
    Check("turnover", "aggregate", "sum(amount)", (1, 1_000_000_000_000)),
    Check("usual_amount", "aggregate", "avg(amount)", (400, 500)),
    Check("least_amount", "aggregate", "min(amount)", (0, 1)),
    Check("most_pieces", "aggregate", "max(quantity)", (1, 8)),
    Check("usual_pieces", "aggregate", "avg(quantity)", (1, 10)),
    Check("orgs_that_deliver", "aggregate", "count(DISTINCT org_id)", (ORGS, ORGS)),
    Check("one_row_per_order", "unique", "order_id"),
    Check("one_row_per_number", "unique", "order_no"),
    Check("customer_exists", "reference", "customer_id", ("customers", "customer_id")),
    Check("amount_per_org", "per_org", "amount > 0"),
)

ROW_FAMILIES = ("not_null", "between", "one_of", "like", "regex", "rows")


def some(count: int) -> tuple[Check, ...]:
    """Return that many checks: of the 40 every so-manieth; beyond 40 further ones that no two share a predicate of."""
    if count <= len(CHECKS):
        return tuple(CHECKS[i * len(CHECKS) // count] for i in range(count))
    more = (
        _other(check, k)
        for k in range(1, count)
        for check in CHECKS
        if check.family in ROW_FAMILIES and check.family != "not_null"
    )
    return (*CHECKS, *islice(more, count - len(CHECKS)))


def _other(check: Check, k: int) -> Check:
    """Return a check with the same answer and another predicate."""
    column, values = check.column, check.values
    if check.family == "between":
        low, high = values
        values = (low, f"2026-12-31 23:59:{59 - k:02}") if isinstance(high, str) else (low, high + k)
        if column == "quantity":  # 0 is the violation, so the upper end may go anywhere
            values = (1, 10 + k)
    elif check.family == "one_of":
        values = (*values, f"other{k}")
    elif check.family == "like":
        values = (f"%_@_%{'%' * k}",)
    elif check.family == "regex":
        values = (values[0].replace("$", f"(x{{{k}}}|)$"),)
    else:
        column = f"({column}) OR quantity = {100 + k}"
    return Check(f"{check.name}_{k}", check.family, column, values)


def good(check: Check, engine: str) -> str:
    """Return the predicate of a good row, as somebody writes it by hand for ``duckdb`` or ``postgres``."""
    column, values = check.column, check.values
    if check.family == "not_null":
        return f"{column} IS NOT NULL"
    if check.family == "between":
        low, high = (f"TIMESTAMP '{end}'" if isinstance(end, str) else str(end) for end in values)
        return f"{column} BETWEEN {low} AND {high}"
    if check.family == "one_of":
        return f"{column} IN ({', '.join(map(repr, values))})"
    if check.family == "like":
        return f"{column} LIKE {values[0]!r}"
    if check.family == "regex":
        return f"{column} ~ {values[0]!r}" if engine == "postgres" else f"regexp_matches({column}, {values[0]!r})"
    return column


def bad(check: Check, engine: str) -> str:
    """Return the predicate of a violating row; a NULL violates ``not_null`` only, because NOT NULL is not TRUE."""
    return f"{check.column} IS NULL" if check.family == "not_null" else f"NOT ({good(check, engine)})"


def verdict(check: Check, found: object) -> bool:
    """Return whether a check passes, from what a tool found: the violations, the value, or already its verdict."""
    if isinstance(found, bool):
        return found
    number = float(str(found))
    return check.values[0] <= number <= check.values[1] if check.family == "aggregate" else number == 0


MAKE_ORDERS = f"""
WITH numbers AS (SELECT i, 1 + CAST(floor({ORGS} * pow(hash(i, 1) % 100000 / 100000.0, 3)) AS INTEGER) AS org_id,
        CAST(hash(i, 2) % 90000 AS DECIMAL(12, 2)) / 100 AS amount, hash(i, 8) % 4 AS stage,
        TIMESTAMP '2026-01-02 00:00:00' + to_seconds(i * 25000000 // {{rows}}) AS created_at
    FROM range({{rows}}) AS r(i))
SELECT i AS order_id,
    'ORD-' || lpad(((CASE WHEN i % ({{rows}} // 5) = 1 THEN i - 1 ELSE i END) * 2654435761 % 10000000000)::TEXT,
        10, '0') AS order_no,
    org_id,
    CASE WHEN i % 5003 = 0 THEN NULL WHEN i % 3001 = 7 THEN {{customers}} + i % 50
        ELSE hash(i, 3) % {{customers}} END::BIGINT AS customer_id,
    CASE WHEN i % 4001 = 0 THEN 'lost' ELSE ['new', 'paid', 'shipped', 'returned'][1 + stage::INT] END AS status,
    CASE WHEN i % 6007 = 0 THEN 'EURO'
        ELSE ['EUR', 'USD', 'GBP', 'CHF', 'PLN'][1 + (hash(i, 4) % 5)::INT] END AS currency,
    ['web', 'shop', 'phone'][1 + (hash(i, 5) % 3)::INT] AS channel,
    ['DE', 'FR', 'IT', 'PL', 'GB', 'US', 'CH'][1 + (hash(i, 6) % 7)::INT] AS country,
    CASE WHEN i % 7001 = 0 THEN 0 ELSE 1 + hash(i, 7) % 9 END::INTEGER AS quantity,
    CASE WHEN i % 9001 = 0 THEN NULL WHEN org_id % 97 = 5 AND i % 8 = 0 OR i % 2003 = 0 THEN 0
        ELSE 1 + amount END::DECIMAL(12, 2) AS amount,
    CASE WHEN i % 2011 = 1 THEN amount + 2 ELSE amount / 5 END::DECIMAL(12, 2) AS tax,
    CASE WHEN i % 3001 = 0 THEN 2500 ELSE hash(i, 9) % 100 END::DECIMAL(12, 2) AS discount,
    CASE WHEN i % 9001 = 3 THEN NULL WHEN i % 8009 = 0 THEN 'nobody' ELSE 'user' || hash(i, 3) % {{customers}} ||
        '@example.org' END AS email,
    CASE WHEN i % 5009 = 0 THEN 'unknown' ELSE ['ABC', 'KLM', 'XYZ'][1 + (hash(i, 10) % 3)::INT] || '-' ||
        lpad((hash(i, 11) % 2000)::TEXT, 4, '0') END AS sku,
    created_at,
    CASE WHEN stage < 2 OR i % 6011 = 0 THEN NULL WHEN i % 4007 = 0 THEN created_at - to_seconds(60)
        ELSE created_at + to_seconds((hash(i, 12) % 500000)::BIGINT) END AS shipped_at
FROM numbers
"""
MAKE_CUSTOMERS = "SELECT i AS customer_id, 'customer ' || i AS name FROM range({customers}) AS r(i)"
COLUMNS = """order_id BIGINT, order_no TEXT, org_id INTEGER, customer_id BIGINT, status TEXT, currency TEXT,
    channel TEXT, country TEXT, quantity INTEGER, amount NUMERIC(12, 2), tax NUMERIC(12, 2), discount NUMERIC(12, 2),
    email TEXT, sku TEXT, created_at TIMESTAMP, shipped_at TIMESTAMP"""
