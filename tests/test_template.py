"""Jinja in declarations is rendered in a sandbox; HTML is escaped."""

import contextlib
import json
import resource
import subprocess
import sys
from datetime import UTC, datetime
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined, TemplateNotFound, UndefinedError

from dq.model.errors import UsageError
from dq.template import MAX_LENGTH, MAX_SECONDS, render_html, render_sql

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


# Each of these would loop for minutes or fill the memory.
HUGE = [
    "{% for i in range(1000000000000) %}x{% endfor %}",
    "{% for i in range(5000) %}{% for j in range(5000) %}{% endfor %}{% endfor %}",
    "{% for i in 'x' * 9999 %}{% for j in 'x' * 9999 %}{% endfor %}{% endfor %}",
    "{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% endfor %}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for x in [[1]] recursive %}{{ loop(range(99999)) }}{% endfor %}",
    "{{ range(0, 1000000000000, 2) | list }}",
    "{% for i in range(90000) %}{{ range(90000) | select('none') | list | length }}{% endfor %}",
    "{% set big = range(90000) | list %}{% for i in range(90000) %}{% if -1 in big %}{% endif %}{% endfor %}",
    "{% set big = 'x' * 900000 %}{% for i in range(90000) %}{% set y = big[1:] %}{% endfor %}",
    "{{ 'x' * 1000000000 }}",
    "{{ 'x'.encode() * 1000000000 }}",
    "{{ 1000000000 * [1] }}",
    "{{ [[[[1] * 999] * 999] * 999] }}",
    "{{ [[[[1] * 999] * 999] * 999] | join }}",
    "{{ 'a' ~ [[[[1] * 999] * 999] * 999] }}",
    "{{ [[[[1] * 999] * 999] * 999] | tojson }}",
    "{{ [[1] * 99999] * 99999 | sum(start=[]) }}",
    "{% set a = [[[[1.5] * 999] * 999] * 999] %}{% set b = [[[[1.5] * 999] * 999] * 999] %}{{ a == b }}",
    "{% set a = (((1,) * 999,) * 999,) * 999 %}{{ {a: 1} | length }}",
    "{% set a = (((1,) * 999,) * 999,) * 999 %}{{ {}[a] }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ (2 ** 900) * (2 ** 900) }}",
    "{{ (1).to_bytes(1000000000, 'big') }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ 'x'.ljust(1000000000) }}",
    "{{ 'x'.zfill(width=1000000000) }}",
    "{{ '\t'.expandtabs(1000000000) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ [1] | batch(1000000000, 0) | list }}",
    "{{ [1] | slice(1000000000) | list }}",
    "{{ [1] | tojson(indent=1000000000) }}",
    "{{ ('x' * 9999) | replace('x', 'y' * 999999) }}",
    "{{ ('x' * 9999) | replace(old='x', new='y' * 999999) }}",
    "{{ ('x' * 9999).replace('x', 'y' * 999999) }}",
    "{{ ('x' * 9999) | join('y' * 999999) }}",
    "{{ ('x' * 9999) | map('upper') | join('y' * 999999) }}",
    "{{ ('y' * 999999).join('x' * 9999) }}",
    "{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}",
    "{% set all %}{% for i in range(99999) %}" + "x" * 9999 + "{% endfor %}{% endset %}{{ all | length }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set b = 'x' * 99999 %}{% for i in range(9999) %}{% set y %}{{ b }}{{ b }}{{ b }}{% endset %}{% endfor %}",
    "{{ ds }}" + "x" * 200_000,
    "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "{% if ds %}" * 200 + "{% endif %}" * 200,
]


def render_them_all():
    """Print what becomes of each text, with the seconds of computing; a gigabyte of memory is all there is."""
    resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
    for text in HUGE:
        began = thread_time()
        try:
            said = f"rendered {len(render_sql(text, CONTEXT))} characters"
        except UsageError as error:
            said = str(error)
        print(json.dumps([text[:80], said, thread_time() - began]))


@pytest.mark.slow
def test_what_would_be_huge_or_take_long_is_refused_and_not_tried():
    done = subprocess.run(
        [sys.executable, "-c", "from tests.test_template import render_them_all; render_them_all()"],
        check=True,
        capture_output=True,
        text=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(HUGE)
    for text, said, seconds in told:
        assert said.startswith("the template "), text
        assert "MemoryError" not in said, text
        assert "\n" not in said
        assert seconds < 2 * MAX_SECONDS, text


def test_a_long_list_of_values_is_rendered():
    context = {"params": {"orgs": list(range(40_000))}}
    joined = render_sql("org IN ({{ params.orgs | join(', ') }})", context)
    looped = render_sql("org IN ({% for o in params.orgs %}{{ o }}{{ ', ' if not loop.last }}{% endfor %})", context)
    assert joined == looped
    assert len(joined) > 200_000


def test_the_bounds_are_those_of_one_rendering():
    text = "{% for i in range(60000) %}{% endfor %}{{ 'x' * 900000 }}"
    assert [len(render_sql(text, {})) for _ in range(3)] == [900_000] * 3


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ 'a' ~ 1 ~ none }}", "a1None"),
        ("{{ ['b', 'a'] | sort | first ~ 'c' }}", "ac"),
        ("{{ [1, 2, 3] | select('odd') | map('string') | join('+') }}", "1+3"),
        ("{{ ', '.join(params.names) }}", "a, b"),
        ("{{ params.names | join }}|{{ [{'n': 1}, {'n': 2}] | join('-', attribute='n') }}", "ab|1-2"),
        ("{{ 'a.b.c' | replace('.', '_') }} {{ 'a.b.c'.replace('.', '_', 1) }}", "a_b_c a_b.c"),
        ("{% macro quoted(x) %}'{{ x }}'{% endmacro %}{{ quoted('a') }}", "'a'"),
        ("{% set names %}a{{ 1 }}b{% endset %}{{ names | upper }}", "A1B"),
        ("{% call(x) each() %}<{{ x }}>{% endcall %}", None),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }} {{ loop.index }}/{{ loop.length }}{% endfor %}", "a=1 1/1"),
        ("{% for x in [1, 2, 3] if x is odd %}{{ x }}{% else %}none{% endfor %}", "13"),
        ("{{ 1 in [1, 2] }} {{ 'a' < 'b' < 'c' }} {{ 'abc'[1:] }} {{ {'a': 2}['a'] }} {{ [1, 2][params.one] }}", None),
        ("{{ 'x' | trim | length }}{{ [1, 2] | batch(1) | list }}", "1[[1], [2]]"),
    ],
)
def test_what_is_counted_is_rendered_as_by_plain_jinja(text, rendered):
    context = {"params": {"names": ["a", "b"], "one": 1}}
    try:
        plain = Environment(undefined=StrictUndefined, autoescape=False).from_string(text).render(context)
    except UndefinedError:
        with pytest.raises(UsageError):
            render_sql(text, context)
        return
    assert render_sql(text, context) == plain
    assert rendered is None or plain == rendered


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
