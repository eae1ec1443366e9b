"""Jinja in declarations is rendered in a sandbox; HTML is escaped."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateNotFound, UndefinedError

from dq.model.errors import UsageError
from dq.template import MAX_LENGTH, render_html, render_sql

CONTEXT = {
    "ds": "2024-06-26",
    "data_interval_start": datetime(2024, 6, 26, tzinfo=UTC),
    "params": {"orgs": [1, 5], "limit": 10, "name": "O'Hara {{ ds }}"},
}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("amount > 0", "amount > 0"),
        ("name LIKE '%x%' AND a::int = 1", "name LIKE '%x%' AND a::int = 1"),
        ("day = '{{ ds }}'", "day = '2024-06-26'"),
        ("year = {{ data_interval_start.strftime('%Y') }}", "year = 2024"),
        ("org IN ({{ params.orgs | join(', ') }})", "org IN (1, 5)"),
        ("{% for o in params.orgs %}a <> {{ o }}{{ ' AND ' if not loop.last }}{% endfor %}", "a <> 1 AND a <> 5"),
        ("{% for org in params.orgs %}{{ org }}{% if not loop.last %}, {% endif %}{% endfor %}", "1, 5"),
        ("{{ params.limit * 2 }}, {{ params.limit ** 2 }}, {{ params.limit % 3 }}, {{ 'ab' * 2 }}", "20, 100, 1, abab"),
        ("{{ params.region | default('all') }}", "all"),
        ("{{ 'a < b' }}", "a < b"),
        # a newline ends a SQL comment, so it must survive the block before it
        ("a = 1 -- first {% if ds %}\nAND b = 2{% endif %}", "a = 1 -- first \nAND b = 2"),
        # a value is data: what looks like Jinja in it is not rendered again
        ("{{ params.name }}", "O'Hara {{ ds }}"),
    ],
)
def test_sql_is_rendered(text, rendered):
    assert render_sql(text, CONTEXT) == rendered


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{ dss }}", "'dss' is undefined; known names: data_interval_start, ds, params"),
        ("{{ params.orgz }}", "has no attribute 'orgz'"),
        ("{{ dss | default }} {{ undefined_name + 1 }}", "'undefined_name' is undefined"),
        ("a\n{{ ds", "not valid Jinja \\(line 2\\)"),
        ("{% if %}", "not valid Jinja \\(line 1\\)"),
        ("{{ ds | nosuch }}", "No filter named 'nosuch'"),
        ("{{ ds.__class__.__mro__[1].__subclasses__() }}", "'__class__' of 'str' object is unsafe"),
        ("{{ ds | attr('__class__') }}", "not allowed"),
        ("{{ params.orgs.append(3) }}", "'append' of 'list' object is unsafe"),
        ("{{ params.update({}) }}", "'update' of 'dict' object is unsafe"),
        ("{{ 1 / 0 }}", "raises ZeroDivisionError"),
        ("{% include 'reports/discrepancy.html.j2' %}", "cannot be rendered"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "raises RecursionError"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(text, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        render_sql(text, CONTEXT)
    assert "\n" not in str(caught.value)
    assert CONTEXT["params"]["orgs"] == [1, 5]


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(1000000000000) %}x{% endfor %}",
        "{% for i in range(5000) %}{% for j in range(5000) %}{% endfor %}{% endfor %}",
        "{{ range(0, 1000000000000, 2) | list }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 1000000000 * [1] }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ (2 ** 900) * (2 ** 900) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ 'x'.zfill(width=1000000000) }}",
        "{{ 'x' | center(1000000000) }}",
        "{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}",
    ],
)
def test_what_would_be_huge_is_refused_and_not_tried(text):
    with pytest.raises(UsageError):
        render_sql(text, CONTEXT)


def test_an_error_does_not_tell_a_value():
    with pytest.raises(UsageError) as caught:
        render_sql("{{ [1].index(params.secret) }}", {"params": {"secret": "hunter2"}})
    assert "hunter2" not in str(caught.value)


def test_the_limit_of_the_output_counts_what_is_rendered():
    assert len(render_sql("{{ x }}", {"x": "a" * MAX_LENGTH})) == MAX_LENGTH
    with pytest.raises(UsageError, match="more than 1,000,000 characters"):
        render_sql("{{ x }}", {"x": "a" * (MAX_LENGTH + 1)})


@given(st.text().filter(lambda text: not any(mark in text for mark in ("{{", "{%", "{#"))))
def test_text_without_jinja_comes_back_as_it_is(text):
    assert render_sql(text, {}) == text


@given(st.text())
def test_any_text_is_rendered_or_refused_in_words(text):
    with contextlib.suppress(UsageError):
        render_sql("{{ " + text + " }}", {"ds": "2024-06-26"})


def test_an_html_template_that_lacks_a_value_is_an_error():
    with pytest.raises(UndefinedError):
        render_html("reports/discrepancy.html.j2")


def test_a_template_that_is_not_there_is_an_error():
    with pytest.raises(TemplateNotFound):
        render_html("reports/nosuch.html.j2")
