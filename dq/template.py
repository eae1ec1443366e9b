"""The Jinja environments: sandboxes that know no undefined names.

Three doors lead in. `render_sql` renders what people wrote in a predicate, a ``where=`` or a query, before the guard
reads it, and `render_text` what they wrote for messages; what these may cost is bounded. `render_html` renders the
templates that come with dq, and escapes every value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextvars import ContextVar
from functools import wraps
from importlib.resources import files
from time import thread_time
from typing import Any

from attrs import define, field, frozen
from jinja2 import (
    Environment,
    FunctionLoader,
    StrictUndefined,
    Template,
    TemplateSyntaxError,
    UndefinedError,
    pass_context,
)
from jinja2 import nodes as ast
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from dq.model.errors import UsageError

MAX_SOURCE = 200_000  # characters of a template
MAX_STEPS = 100_000  # rounds of loops, calls and filters of one rendering
MAX_LENGTH = 1_000_000  # characters of one rendered text, and of any text or list that is made on the way
MAX_MADE = 10_000_000  # characters and items of all that is made or looked at on the way
MAX_SECONDS = 3  # of computing, for what the other bounds let add up
MAX_BITS = 1_024  # of an integer that a product or a power yields
MAX_NUMBER = 10_000  # given to a method of a text, or to a filter that makes as much as it is told
# Their output can be any size, whatever their input, or takes long to find; none has a use in SQL.
_COSTLY_FILTERS = ("center", "format", "indent", "pprint", "striptags", "urlize", "wordwrap", "xmlattr")
_TOLD_FILTERS = ("batch", "slice", "tojson")
_MARKS = ("{{", "{%", "{#")


def render_sql(text: str, context: Mapping[str, object]) -> str:
    """Return ``text`` with its Jinja rendered; text without Jinja comes back as it is.

    Args:
        text: SQL as it was declared, e.g. ``"created_at < '{{ ds }}'"``.
        context: the names that it may use, e.g. ``ds``, ``data_interval_start``, ``params``. Nothing in it can be
            changed by the template.

    Raises:
        UsageError: for an undefined name, wrong syntax, something the sandbox forbids, or a text that would be huge or
            take long.
    """
    return _told(text, context, _SQL) if any(mark in text for mark in _MARKS) else text


def render_text(text: str, context: Mapping[str, object], *, html: bool = False) -> str:
    """Return ``text``, the user's template for a message, with its Jinja rendered.

    Args:
        text: the template.
        context: the names that it may use. Nothing in it can be changed by the template.
        html: it is HTML: every value is escaped.

    Raises:
        UsageError: as ``render_sql``.
    """
    return _told(text, context, _PAGE if html else _SQL)


def _told(text: str, context: Mapping[str, object], environment: Environment) -> str:
    try:
        return _rendered(text, context, environment)
    except TemplateSyntaxError as error:
        raise UsageError(f"the template is not valid Jinja (line {error.lineno}): {_line(error.message)}") from None
    except UndefinedError as error:
        names = ", ".join(sorted(context)) or "none"
        raise UsageError(f"the template uses what is not there: {_line(error.message)}; known names: {names}") from None
    except SecurityError as error:
        raise UsageError(f"the template does what is not allowed: {_line(str(error))}") from None
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


def _line(text: str | None) -> str:
    return " ".join((text or "").split())[:300]


def _source(template_name: str) -> str | None:
    package, _, name = template_name.partition("/")
    resource = files("dq").joinpath(package, "templates", name)
    return resource.read_text("utf-8") if resource.is_file() else None


# --------------------------------------------------------------------------------------------------- what it may cost
@define
class _Meter:
    """What one rendering may still do; whatever makes or repeats something in a template asks it."""

    steps: int = MAX_STEPS
    made: int = MAX_MADE
    until: float = field(factory=lambda: thread_time() + MAX_SECONDS)

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise SecurityError(f"it takes more than {MAX_STEPS:,} steps")
        if thread_time() > self.until:
            raise SecurityError(f"it takes more than {MAX_SECONDS} seconds")

    def make(self, size: int) -> None:
        """Ask for a text or list of ``size``, before it is made where that can be known."""
        if size > MAX_LENGTH:
            raise SecurityError(f"it yields more than {MAX_LENGTH:,} characters")
        self.made -= size
        if self.made < 0:
            raise SecurityError(f"it makes more than {MAX_MADE:,} characters on its way")

    def weigh(self, value: Any) -> Any:
        """Return ``value``, counted with all that is in it: few lists in lists can be written or compared as many."""
        size, waiting = 0, [value]
        while waiting and size <= MAX_LENGTH:
            item = waiting.pop()
            if not isinstance(item, str | bytes | list | tuple | dict | set | frozenset | range):
                continue
            size += len(item)
            if size <= MAX_LENGTH and not isinstance(item, str | bytes | range):
                waiting.extend(item)
                waiting.extend(item.values() if isinstance(item, dict) else ())
        self.make(size)
        return value


_METER: ContextVar[_Meter] = ContextVar("meter")


def _rendered(text: str, context: Mapping[str, object], environment: Environment) -> str:
    if len(text) > MAX_SOURCE:
        raise SecurityError(f"it is longer than {MAX_SOURCE:,} characters")
    token = _METER.set(_Meter())
    try:
        code = environment.compile(_metered(environment.parse(text), environment))
        template = Template.from_code(environment, code, {**environment.globals})
        pieces: list[str] = []
        length = 0
        for piece in template.generate(**context):
            length += len(piece)
            if length > MAX_LENGTH:
                raise SecurityError(f"it yields more than {MAX_LENGTH:,} characters")
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _METER.reset(token)


def _metered(tree: ast.Template, environment: Environment) -> ast.Template:
    """Return ``tree`` with what repeats, joins, compares or looks up led through filters that ask the meter."""
    for node in list(tree.find_all(ast.Node)):
        for name, value in list(node.iter_fields()):
            if isinstance(value, ast.Concat):
                setattr(node, name, _joined(value))
            elif isinstance(value, list):
                value[:] = [_joined(item) if isinstance(item, ast.Concat) else item for item in value]
        if isinstance(node, ast.For):
            if node.recursive:
                raise SecurityError("a recursive loop")
            node.iter = _through("dq steps", node.iter)
        elif isinstance(node, ast.Compare | ast.Operand):
            node.expr = _through("dq weigh", node.expr)
        elif isinstance(node, ast.Pair):
            node.key = _through("dq weigh", node.key)
        elif isinstance(node, ast.Getitem) and isinstance(node.arg, ast.Slice):
            node.node = _through("dq weigh", node.node)
        elif isinstance(node, ast.Getitem) and not isinstance(node.arg, ast.Const):
            node.arg = _through("dq weigh", node.arg)
        elif isinstance(node, ast.Output):
            # The fixed text is written as often as a loop or a macro says; as a value it is counted each time.
            node.nodes = [_fixed(n.data, environment) if isinstance(n, ast.TemplateData) else n for n in node.nodes]
    # Jinja gives each node that it parses its environment; those made here need theirs.
    tree.set_environment(environment)
    return tree


def _fixed(text: str, environment: Environment) -> ast.Expr:
    return ast.MarkSafe(ast.Const(text)) if environment.autoescape else ast.Const(text)


def _joined(concat: ast.Concat) -> ast.Filter:
    return _through("dq concat", ast.List(concat.nodes, lineno=concat.lineno))


def _through(name: str, value: ast.Node) -> ast.Filter:
    return ast.Filter(value, name, [], [], None, None, lineno=value.lineno)


@frozen
class _Counted:
    """Items with their number (`loop.last` asks for it), each counted when a loop comes to it."""

    items: Any

    def __iter__(self) -> Iterator[Any]:
        return _each(self.items)

    def __len__(self) -> int:
        return len(self.items)


def _each(items: Iterable[Any]) -> Iterator[Any]:
    meter = _METER.get()
    for item in items:
        meter.step()
        yield item


def _steps(items: Any) -> Any:
    return _Counted(items) if isinstance(items, Sized) else _each(items)


def _weigh(value: Any) -> Any:
    return _METER.get().weigh(value)


def _concat(parts: Sequence[object]) -> str:
    _METER.get().weigh(parts)
    return "".join(str(part) for part in parts)


@pass_context  # so that Jinja does not do it once, when it compiles, for what a loop repeats
def _finalize(_context: Context, value: object) -> str:
    """Count what the template puts out, wherever it goes: to the text, into a variable or the value of a macro."""
    weighed = _METER.get().weigh(value)
    return weighed if isinstance(weighed, Markup) else str(weighed)


def _ask_for_join(between: object, items: Any) -> Any:
    """Return ``items`` as a list, when their join would not be huge."""
    listed = list(_each(items))
    _METER.get().make(len(listed) * len(str(between)))
    return _METER.get().weigh(listed)


def _ask_for_replace(text: object, old: object, new: object, *_count: object) -> None:
    _METER.get().make(str(text).count(str(old)) * len(str(new)))


def _counted(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter or test that asks the meter for what it is given and for what it makes."""
    # It may ask Jinja for the context, the environment or the place first; that is no argument of the user.
    own = 1 if hasattr(plain, "jinja_pass_arg") else 0

    @wraps(plain)
    def counted(*args: Any, **kwargs: Any) -> Any:
        meter = _METER.get()
        meter.step()
        given = [_each(arg) if isinstance(arg, Iterator) else meter.weigh(arg) for arg in args[own:]]
        options = {key: meter.weigh(value) for key, value in kwargs.items()}
        told = (*given[1:], *options.values())
        if name in _TOLD_FILTERS and any(isinstance(arg, int) and abs(arg) > MAX_NUMBER for arg in told):
            raise SecurityError(f"the filter {name} is given a number above {MAX_NUMBER:,}")
        if name == "join":
            given[0] = _ask_for_join(given[1] if given[1:] else options.get("d", ""), given[0])
        if name == "replace":
            _ask_for_replace(given[0], *given[1:], *options.values())
        return _made(plain(*args[:own], *given, **options))

    return counted


def _made(value: Any) -> Any:
    if isinstance(value, Sized):
        _METER.get().make(len(value))
    return value


# -------------------------------------------------------------------------------------------------------- environments
class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which guards attributes and mutation, with limits on what one rendering can do and make.

    They stop a slip or a strange parameter from eating the worker; they are no defence against the author of the
    project, who writes Python beside the template anyway.
    """

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse a product, a power or a text format whose size its operands do not bound."""
        if operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("'%' on a text; join texts with '~'")
        if isinstance(left, int) and isinstance(right, int) and operator in ("*", "**"):
            bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MAX_BITS:
                raise SecurityError("a number becomes huge")
        if operator == "*":
            for items, times in ((left, right), (right, left)):
                if isinstance(items, Sized) and isinstance(times, int):
                    _METER.get().make(len(items) * max(times, 0))
        if operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            _METER.get().make(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse to format a text, to pad it to any size, and the methods of numbers and bytes."""
        meter = _METER.get()
        meter.step()
        given = [_each(arg) if isinstance(arg, Iterator) else meter.weigh(arg) for arg in args]
        options = {key: meter.weigh(value) for key, value in kwargs.items()}
        method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps str.format
        owner = meter.weigh(getattr(method, "__self__", None))
        if isinstance(owner, int | float | bytes):
            raise SecurityError(f"a method of a {type(owner).__name__}")
        if isinstance(owner, str):
            name = method.__name__
            if name in ("format", "format_map"):
                raise SecurityError("format of a text; join texts with '~'")
            if any(isinstance(arg, int) and arg > MAX_NUMBER for arg in (*given, *options.values())):
                raise SecurityError(f"a method of a text is given a number above {MAX_NUMBER:,}")
            if name == "join" and given:
                given[0] = _ask_for_join(owner, given[0])
            if name == "replace" and len(given) >= 2:
                _ask_for_replace(owner, *given)
        return _made(super().call(context, obj, *given, **options))


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_STEPS:
        raise SecurityError(f"a range has more than {MAX_STEPS:,} items")
    return numbers


def _metered_environment(*, autoescape: bool) -> Environment:
    environment = _Sandbox(undefined=StrictUndefined, autoescape=autoescape, finalize=_finalize)
    for name in ("lipsum", "cycler", "joiner"):
        del environment.globals[name]
    environment.globals["range"] = _range
    filters: dict[str, Any] = {**environment.filters}
    tests: dict[str, Any] = {**environment.tests}
    environment.filters = {name: _counted(name, plain) for name, plain in filters.items()}
    environment.tests = {name: _counted(name, plain) for name, plain in tests.items()}
    for name in _COSTLY_FILTERS:
        del environment.filters[name]
    # No template can write a name with a blank.
    environment.filters.update({"dq steps": _steps, "dq concat": _concat, "dq weigh": _weigh})
    return environment


_SQL = _metered_environment(autoescape=False)
_PAGE = _metered_environment(autoescape=True)
_HTML = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=True, loader=FunctionLoader(_source), trim_blocks=True, lstrip_blocks=True
)
