"""What a DAG file written for Airflow 2 says that Airflow 3 leaves out: read from its text, which is never run.

Airflow 3 takes ``sla=`` and ``sla_miss_callback=``, warns, and does nothing with them; ``SubDagOperator`` is gone.
https://airflow.apache.org/docs/apache-airflow/stable/howto/sla-to-deadlines.html
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from datetime import timedelta

from attrs import evolve, field, frozen

from dq.model.duration import format_duration, parse_duration
from dq.model.errors import DeclarationError

_SUBDAGS = ("airflow.operators.subdag", "airflow.operators.subdag_operator")
_SUBDAG = "SubDagOperator"
_TAKE_SLA = frozenset({"Sla", "Suite", "Reconciliation"})
"""What ``from dq import *`` brings that has to do with ``sla=``."""

_LONGEST_SHOWN = 60
_LONGEST_TEXT = 24
"""A longer text in an expression may be an address or a token, and is not repeated."""


@frozen
class Use:
    """One place in a DAG file that has to change.

    Attributes:
        line: counted from 1.
        clause: what is there, and what to write instead.
        dag: the id of the DAG; None: it cannot be read there.
        task: the id of the task; None: it is about the DAG, or cannot be read there.
    """

    line: int
    clause: str
    dag: str | None = None
    task: str | None = None


def uses(source: str) -> tuple[Use, ...]:
    """Return what has to change in the text of a DAG file, in the order of its lines.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it cannot be read as Python; see :func:`ast.parse`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the file's own habits, such as "\d"; they are not asked for here
        tree = ast.parse(source)
    scan = _Scan(source, _Names.of(tree))
    # Not by recursion: a file may be nested deeper than Python's own stack.
    waiting: list[tuple[ast.AST, _Place]] = [(tree, _Place())]
    while waiting:
        node, place = waiting.pop()
        scan.look(node, place)
        waiting += _below(node, place, scan.names)
    return tuple(use for _, use in sorted(scan.found.items()))


@frozen
class _Place:
    """Where a node stands: in which DAG, and which function it decorates."""

    dag: str | None = None
    decorates: str | None = None


def _below(node: ast.AST, place: _Place, names: _Names) -> Iterator[tuple[ast.AST, _Place]]:
    inside = _Place(place.dag)
    if isinstance(node, ast.With | ast.AsyncWith):
        for item in node.items:
            if (call := names.dag_call(item.context_expr)) is not None:
                inside = _Place(names.dag_id(call))
        yield from ((item, _Place(place.dag)) for item in node.items)
        yield from ((child, inside) for child in node.body)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for decorator in node.decorator_list:
            yield decorator, _Place(place.dag, node.name)
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if _last(names.dotted(called)) == "dag":
                inside = _Place(names.dag_id(decorator, node.name))
        yield from ((child, inside) for child in (node.args, *node.body))
    else:
        yield from ((child, inside) for child in ast.iter_child_nodes(node))


@frozen
class _Names:
    """What the names of a file stand for, as far as its text says.

    Attributes:
        imported: the full name of what each name was imported as.
        bound: every value that a name is given.
        times: how often a name is given a value, or is a parameter.
        named: the name that an expression was first given to, by the identity of its node.
        functions: what the file itself defines.
        defaults: names of what is given as ``default_args=``.
        star: whether ``from dq import *`` is there.
    """

    imported: dict[str, str] = field(factory=dict)
    bound: dict[str, list[ast.expr]] = field(factory=dict)
    times: dict[str, int] = field(factory=dict)
    named: dict[int, str] = field(factory=dict)
    functions: set[str] = field(factory=set)
    defaults: set[str] = field(factory=set)
    star: list[str] = field(factory=list)

    @classmethod
    def of(cls, tree: ast.AST) -> _Names:
        defined = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        names = cls(functions={node.name for node in defined})
        for node in ast.walk(tree):
            match node:
                case ast.Import():
                    for one in node.names:
                        root = one.name.partition(".")[0]
                        names.imported[one.asname or root] = one.name if one.asname else root
                case ast.ImportFrom():
                    module = "." * node.level + (node.module or "")
                    for one in node.names:
                        names.imported[one.asname or one.name] = f"{module}.{one.name}"
                        if one.name == "*":
                            names.star.append(module)
                case ast.Assign():
                    for target in node.targets:
                        names._bind(target, node.value)
                case ast.AnnAssign() | ast.AugAssign() | ast.NamedExpr():
                    names._bind(node.target, node.value)
                case ast.withitem():
                    names._bind(node.optional_vars, node.context_expr)
                case ast.Name(ctx=ast.Store()):
                    names.times[node.id] = names.times.get(node.id, 0) + 1
                case ast.arg():
                    names.times[node.arg] = names.times.get(node.arg, 0) + 1
                case ast.keyword(arg="default_args", value=ast.Name(id=name)):
                    names.defaults.add(name)
        return names

    def _bind(self, target: ast.expr | None, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name) and value is not None:
            self.bound.setdefault(target.id, []).append(value)
            self.named.setdefault(id(value), target.id)

    def dotted(self, node: ast.AST) -> str:
        """Return the full name, such as ``airflow.sdk.DAG``, by the imports; empty: it has none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join((self.imported.get(node.id, node.id), *reversed(parts)))

    def value(self, node: ast.expr) -> ast.expr:
        """Return what a name stands for, where it is given one value only."""
        for _ in range(8):  # a name may stand for itself
            if not isinstance(node, ast.Name) or self.times.get(node.id) != 1 or len(self.bound.get(node.id, ())) != 1:
                break
            node = self.bound[node.id][0]
        return node

    def text(self, node: ast.expr | None) -> str | None:
        """Return the text that an expression is; None: it is none, or is computed."""
        found = None if node is None else self.value(node)
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            # An id may hold half of a surrogate pair, which nothing can print.
            return found.value.encode(errors="replace").decode()
        return None

    def is_dq(self, node: ast.AST) -> bool:
        """Return whether this is a name of dq's."""
        name = self.dotted(node)
        star = any(module == "dq" or module.startswith("dq.") for module in self.star)
        return f"{name}.".startswith("dq.") or (star and name in _TAKE_SLA)

    def dag_call(self, node: ast.expr) -> ast.Call | None:
        """Return the call of ``DAG`` that an expression is or names."""
        found = self.value(node)
        return found if isinstance(found, ast.Call) and _last(self.dotted(found.func)) == "DAG" else None

    def dag_id(self, node: ast.expr, function: str | None = None) -> str | None:
        """Return the id that a DAG is given; else the name of the ``function`` that is decorated."""
        given = keyword(node, "dag_id") if isinstance(node, ast.Call) else None
        if given is None and isinstance(node, ast.Call) and node.args:
            given = node.args[0]
        return function if given is None else self.text(given)

    def entries(self, node: ast.expr) -> Iterator[tuple[str, ast.expr, ast.expr | ast.keyword]]:
        """Yield key, value and where the key stands, of what is read as a dict."""
        waiting, seen = [node], set()
        while waiting:
            one = waiting.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            match one:
                case ast.Name():
                    waiting += self.bound.get(one.id, ())
                case ast.Dict():
                    for key, value in zip(one.keys, one.values, strict=True):
                        if key is None:
                            waiting.append(value)
                        elif (name := self.text(key)) is not None:
                            yield name, value, key
                case ast.Call() if _last(self.dotted(one.func)) in {"dict", "copy", "deepcopy"}:
                    waiting += one.args
                    if isinstance(one.func, ast.Attribute):
                        waiting.append(one.func.value)
                    for given in one.keywords:
                        if given.arg is None:
                            waiting.append(given.value)
                        else:
                            yield given.arg, given.value, given
                case ast.BinOp(op=ast.BitOr()):
                    waiting += (one.left, one.right)
                case ast.IfExp():
                    waiting += (one.body, one.orelse)


@frozen
class _Scan:
    """What was found so far in one file, by line, column and word."""

    source: str
    names: _Names
    found: dict[tuple[int, int, str], Use] = field(factory=dict)

    def look(self, node: ast.AST, place: _Place) -> None:
        """Look at one node, not at what is in it."""
        match node:
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.Call() if not self.names.is_dq(node.func):
                self._call(node, place)
            case ast.Assign():
                for target in node.targets:
                    self._assign(target, node.value, place.dag)
            case ast.AnnAssign() | ast.AugAssign() if node.value is not None:
                self._assign(node.target, node.value, place.dag)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        module = node.module or "" if isinstance(node, ast.ImportFrom) and not node.level else ""
        for one in node.names:
            name = f"{module}.{one.name}".removeprefix(".")
            if module in _SUBDAGS or name in _SUBDAGS or self._is_subdag(name):
                clause = f"{_SUBDAG} is not in Airflow 3, where this file does not load; import TaskGroup instead"
                self._add(node, _SUBDAG, clause, None, None)

    def _call(self, node: ast.Call, place: _Place) -> None:
        name = self.names.dotted(node.func)
        if name == "dict":
            return  # it counts where it is used
        dag, task = self._dag(node, place), self._task(node, place)
        target = self._target(node, place, task)
        if self._is_subdag(name):
            group = f'TaskGroup("{task}")' if task else "TaskGroup"
            clause = f"{_SUBDAG} is not in Airflow 3; write a {group} and put the tasks of the sub-DAG into it"
            self._add(node, f"{_SUBDAG}()", clause, dag, task)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        of_defaults = isinstance(node.func, ast.Attribute) and self._is_defaults(node.func.value)
        given = [(one.arg, one.value, one) for one in node.keywords if one.arg is not None]
        more = [entry for one in node.keywords if one.arg is None for entry in self.names.entries(one.value)]
        for key, value, where in (*given, *more):
            if key == "default_args":
                self._defaults(value, dag)
            else:
                self._told(key, value, where, dag, task, target, defaults=of_defaults and method == "update")
        if of_defaults and method == "update":
            for one in node.args:
                self._defaults(one, dag)
        elif of_defaults and method == "setdefault" and len(node.args) == 2:
            self._told(self.names.text(node.args[0]), node.args[1], node.args[0], dag, None, defaults=True)

    @staticmethod
    def _is_subdag(name: str) -> bool:
        return name.startswith("airflow.") and _SUBDAG in name.split(".")

    def _dag(self, node: ast.Call, place: _Place) -> str | None:
        if self.names.dag_call(node) is not None:
            return self.names.dag_id(node)
        if place.decorates is not None and _last(self.names.dotted(node.func)) == "dag":
            return self.names.dag_id(node, place.decorates)
        given = keyword(node, "dag")
        call = None if given is None else self.names.dag_call(given)
        return place.dag if call is None else self.names.dag_id(call)

    def _task(self, node: ast.Call, place: _Place) -> str | None:
        if (given := keyword(node, "task_id")) is not None:
            return self.names.text(given)
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "override" and isinstance(function.value, ast.Name):
            return function.value.id
        return None if _last(self.names.dotted(function)) == "dag" else place.decorates

    def _target(self, node: ast.Call, place: _Place, task: str | None) -> str:
        """Return how the file calls the task that a call makes, as far as one can see."""
        if place.decorates is not None:
            return f"{place.decorates}(...)"
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr == "override" and isinstance(function.value, ast.Name):
            return f"{function.value.id}(...)"
        known = self.names.named.get(id(node), task) or ""
        return known if known.isidentifier() else "task"

    def _assign(self, target: ast.expr, value: ast.expr, dag: str | None) -> None:
        match target:
            # What is given as default_args= is told where it is given, with its DAG.
            case ast.Name() if target.id not in self.names.defaults and self._is_defaults(target):
                self._defaults(value, dag)
            case ast.Subscript() if self._is_defaults(target.value):
                self._told(self.names.text(target.slice), value, target, dag, None, defaults=True)
            case ast.Attribute(attr="sla_miss_callback"):
                self._told(target.attr, value, target, dag, None)
            # Things of any kind have an attribute of that name; a span of time that is set from outside is a task's.
            case ast.Attribute(attr="sla", value=ast.Name(id=owner)) if owner not in {"self", "cls"}:
                if _span(self.names.value(value)) is not None:
                    self._told(target.attr, value, target, dag, None, owner)

    def _is_defaults(self, node: ast.expr) -> bool:
        name = self.names.dotted(node)
        return name in self.names.defaults or _last(name).lower().endswith("default_args")

    def _defaults(self, node: ast.expr, dag: str | None) -> None:
        for key, value, where in self.names.entries(node):
            self._told(key, value, where, dag, None, defaults=True)

    def _told(
        self,
        key: str | None,
        value: ast.expr,
        where: ast.expr | ast.keyword,
        dag: str | None,
        task: str | None,
        target: str = "task",
        *,
        defaults: bool = False,
    ) -> None:
        """Tell of ``key``, if it is one of the two, and its value is not one that means nothing or is dq's own."""
        known = self.names.value(value)
        if isinstance(known, ast.Constant) and known.value is None:
            return
        if isinstance(known, ast.Call) and self.names.is_dq(known.func):
            return
        what = f'"{key}" in default_args' if defaults else f"{key}="
        if key == "sla":
            clause = f"{what} does nothing on Airflow 3; {self._promise(value, known, target, defaults=defaults)}"
        elif key == "sla_miss_callback":
            clause = f"{what} does nothing on Airflow 3; {self._callback(value, known)}"
        else:
            return
        self._add(where, key, clause, dag, task)

    def _promise(self, value: ast.expr, known: ast.expr, target: str, *, defaults: bool) -> str:
        span = _span(known)
        if span is not None and span <= timedelta(0):
            return "take it out, for it leaves no time"
        text = None if span is None else _duration(span)
        within = self._shown(value) if text is None else f'"{text}"'
        if defaults:
            return (
                f"write sla(task, within={within}) of dq.airflow for each task that matters, or for the last one, or "
                f"better, where they leave data behind, sla=Sla(within={within}) on the suites that check it"
            )
        return (
            f"write sla({target}, within={within}) of dq.airflow, or better, where it leaves data behind, "
            f"sla=Sla(within={within}) on the suite that checks it"
        )

    def _callback(self, value: ast.expr, known: ast.expr) -> str:
        same = "it is called with the same five arguments"
        function = self.names.dotted(value)
        if self.names.is_dq(value):
            return "sla() of dq.airflow needs none there"
        if isinstance(known, ast.List | ast.Tuple):
            found = "one function that calls each of them"
        elif function in self.names.functions:
            # Whoever judges the promise loads no DAG file.
            return (
                f"move {function} into a module beside this file, e.g. alerts.py, and write "
                f'on_miss="alerts:{function}" in sla(...) or Sla(...); {same}'
            )
        elif function and "..." not in (shown := self._shown(value)):
            return f"write on_miss={shown} in sla(...) or Sla(...); {same}"
        else:
            found = "a function that does the same"
        return (
            f"put {found} into a module beside this file, e.g. alerts.py, and write "
            f'on_miss="alerts:tell" in sla(...) or Sla(...); {same}'
        )

    def _shown(self, node: ast.expr) -> str:
        """Return the expression as it is written, or ``...`` where it is long, no expression, or may hold a secret."""
        text = ast.get_source_segment(self.source, node) or ""
        texts = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))
        if isinstance(node, ast.Constant) or not 0 < len(text) <= _LONGEST_SHOWN or not text.isprintable():
            return "..."
        return "..." if any(len(one) > _LONGEST_TEXT or "://" in one for one in texts) else text

    def _add(
        self, node: ast.stmt | ast.expr | ast.keyword, what: str, clause: str, dag: str | None, task: str | None
    ) -> None:
        key = (node.lineno, node.col_offset, what)
        before = self.found.get(key)
        if before is None:
            self.found[key] = Use(node.lineno, clause, dag, task)
        else:  # one dict for several: it is no one's
            same_dag, same_task = before.dag == dag, before.task == task
            self.found[key] = evolve(before, dag=dag if same_dag else None, task=task if same_task else None)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return what a call gives as ``name=``."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def _last(dotted: str) -> str:
    return dotted.rpartition(".")[2]


def _span(node: ast.expr) -> timedelta | None:
    """Return the time that ``timedelta(...)`` or ``pendulum.duration(...)`` of plain numbers is."""
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in {"timedelta", "duration"}:
        return None
    try:
        parts = [_number(one) for one in node.args]
        named = {str(one.arg): _number(one.value) for one in node.keywords}
        return timedelta(*parts, **named)
    except (TypeError, ValueError, OverflowError):  # it is computed, or no such time is there
        return None


def _number(node: ast.expr) -> float:
    """Return the number that is written, also as a product such as ``24 * 60``.

    Raises:
        TypeError: it is none.
    """
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub()):
            return -_number(node.operand)
        case ast.BinOp(op=ast.Mult()):
            return _number(node.left) * _number(node.right)
    raise TypeError


def _duration(span: timedelta) -> str | None:
    """Return the text that dq reads as exactly this time; None: it would round it."""
    text = format_duration(span)
    try:
        return text if parse_duration(text) == span else None
    except DeclarationError:
        return None
