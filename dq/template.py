"""The one Jinja environment: a sandbox that knows no undefined names.

Two doors lead in. `render_sql` renders what people wrote in a predicate, a ``where=`` or a query, before the guard
reads it. `render_html` renders the templates that come with dq, and escapes every value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dq.model.errors import UsageError

MAX_STEPS = 10_000  # items of all range() calls of one rendering, and the largest number given to a method of a text
MAX_LENGTH = 1_000_000  # characters of one rendered text
MAX_BITS = 1_024  # of an integer that a product or a power yields
_COSTLY_FILTERS = ("center", "format", "indent", "wordwrap")  # their output can be any size, whatever their input
_MARKS = ("{{", "{%", "{#")


def render_sql(text: str, context: Mapping[str, object]) -> str:
    """Return ``text`` with its Jinja rendered; text without Jinja comes back as it is.

    Args:
        text: SQL as it was declared, e.g. ``"created_at < '{{ ds }}'"``.
        context: the names that it may use, e.g. ``ds``, ``data_interval_start``, ``params``. Nothing in it can be
            changed by the template.

    Raises:
        UsageError: for an undefined name, wrong syntax, something the sandbox forbids, or a text that would be huge.
    """
    if not any(mark in text for mark in _MARKS):
        return text
    try:
        return _rendered(text, context)
    except TemplateSyntaxError as error:
        raise UsageError(f"the template is not valid Jinja (line {error.lineno}): {error.message}") from None
    except UndefinedError as error:
        names = ", ".join(sorted(context)) or "none"
        raise UsageError(f"the template uses what is not there: {error.message}; known names: {names}") from None
    except SecurityError as error:
        raise UsageError(f"the template does what is not allowed: {error}") from None
    except Exception as error:  # noqa: BLE001 (an expression can raise anything; its text may hold a value, so not told)
        kind = type(error).__name__
        raise UsageError(f"the template cannot be rendered: one of its expressions raises {kind}") from None


def render_html(template_name: str, **values: object) -> str:
    """Return a template of this package as HTML; every value in it is escaped.

    Args:
        template_name: sub-package and file, e.g. ``"reports/discrepancy.html.j2"`` for that file in
            ``dq/reports/templates``.
        values: what the template shows. A name that is missing is an error, never a gap.
    """
    return _HTML.get_template(template_name).render(**values)


def _rendered(text: str, context: Mapping[str, object]) -> str:
    template = _ENVIRONMENT.from_string(text, globals={"range": _budgeted_range()})
    pieces: list[str] = []
    length = 0
    for piece in template.generate(**context):
        length += len(piece)
        if length > MAX_LENGTH:
            raise SecurityError(f"it yields more than {MAX_LENGTH:,} characters")
        pieces.append(piece)
    return "".join(pieces)


def _budgeted_range() -> Callable[..., range]:
    left = MAX_STEPS

    def limited(*args: int) -> range:
        nonlocal left
        numbers = range(*args)
        left -= min(len(numbers), MAX_STEPS + 1)
        if left < 0:
            raise SecurityError(f"its ranges have more than {MAX_STEPS:,} items")
        return numbers

    return limited


def _source(template_name: str) -> str | None:
    package, _, name = template_name.partition("/")
    resource = files("dq").joinpath(package, "templates", name)
    return resource.read_text("utf-8") if resource.is_file() else None


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which guards attributes and mutation, with limits on what one operation can make.

    They stop a slip or a strange parameter from eating the worker; they are no defence against the author of the
    project, who writes Python beside the template anyway.
    """

    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse a product, a power or a text format whose size its operands do not bound."""
        if operator == "%" and isinstance(left, str):
            raise SecurityError("'%' on a text; join texts with '~'")
        if isinstance(left, int) and isinstance(right, int) and operator != "%":
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MAX_BITS:
                raise SecurityError("a number becomes huge")
        for items, times in ((left, right), (right, left)):
            if isinstance(items, str | list | tuple) and isinstance(times, int) and len(items) * times > MAX_STEPS:
                raise SecurityError(f"a text or list is repeated to more than {MAX_STEPS:,} items")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse to format a text, and to pad it to any size."""
        method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps str.format
        if isinstance(getattr(method, "__self__", None), str):
            if method.__name__ in ("format", "format_map"):
                raise SecurityError("format of a text; join texts with '~'")
            if any(isinstance(arg, int) and arg > MAX_STEPS for arg in (*args, *kwargs.values())):
                raise SecurityError(f"a method of a text is given a number above {MAX_STEPS:,}")
        return super().call(context, obj, *args, **kwargs)


def _sandbox() -> _Sandbox:
    environment = _Sandbox(undefined=StrictUndefined, autoescape=False)
    for name in _COSTLY_FILTERS:
        del environment.filters[name]
    for name in ("lipsum", "cycler", "joiner"):
        del environment.globals[name]
    return environment


_ENVIRONMENT = _sandbox()
_HTML = _ENVIRONMENT.overlay(autoescape=True, loader=FunctionLoader(_source), trim_blocks=True, lstrip_blocks=True)
