"""Loading declarations: the files of ``checks/`` and ``reports/``, by path."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import py_compile
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from attrs import field, frozen

from dq.model.check import Suite
from dq.model.dataset import Dataset
from dq.model.errors import UsageError
from dq.model.reconciliation import Reconciliation
from dq.secret import without_addresses

FOLDERS = ("checks", "reports")
_LOADING = threading.Lock()


@frozen
class Declared:
    """What was found.

    Attributes:
        values: suites, reconciliations and datasets by name.
        sources: the file of each, relative to the project.
        failures: a sentence for each file, or declaration, that did not load.
    """

    values: dict[str, Suite | Reconciliation | Dataset] = field(factory=dict)
    sources: dict[str, str] = field(factory=dict)
    failures: list[str] = field(factory=list)


def load_declarations(root: Path) -> Declared:
    """Return the suites, reconciliations and datasets at the top level of ``checks/*.py`` and ``reports/*.py``.

    Each file runs as a module of a package made for the project, anew each time; nothing is added to ``sys.path``.
    Files reach each other by relative imports: ``from .tables import orders``. A file that fails takes no other down.
    Their bytecode is kept where it can be written, and is taken only for the very same text: by time and length, as
    Python has it by default, a file that was changed within a second would be read stale.
    """
    package = f"dq_project_{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    declared = Declared()
    with _LOADING:
        for name in [name for name in tuple(sys.modules) if f"{name}.".startswith(f"{package}.")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.modules[package] = module = ModuleType(package, "A dq project.")
        module.__path__ = [str(root)]
        try:
            for folder in FOLDERS:
                for file in sorted((root / folder).glob("*.py")):
                    _load(file, f"{package}.{folder}", root, declared)
        finally:
            sys.dont_write_bytecode = writes_none
    return declared


def _load(file: Path, package: str, root: Path, declared: Declared) -> None:
    if not file.stem.isidentifier():
        declared.failures.append(
            f"{file.relative_to(root).as_posix()}: its name cannot be imported; use letters, digits and '_' only"
        )
        return
    before = set(sys.modules)
    with suppress(OSError, ValueError, py_compile.PyCompileError):  # what is wrong with it is told by its import
        _keep_bytecode(file)
    try:
        importlib.import_module(f"{package}.{file.stem}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # whatever a file of the user raises, even SystemExit, is told
        declared.failures.append(_sentence(error, root, file))
    # They stand in the order in which they were finished: a suite belongs to the file that made it, which is finished
    # before those that import it.
    own = f"{package.partition('.')[0]}."
    for name in [name for name in tuple(sys.modules) if name not in before and name.startswith(own)]:
        _collect(sys.modules[name], root, declared)


def _keep_bytecode(file: Path) -> None:
    """Write the bytecode of a file, with the hash of its text, unless that is there (PEP 552)."""
    kept = Path(importlib.util.cache_from_source(str(file)))
    with suppress(OSError), kept.open("rb") as header:
        if header.read(16)[4:] == _CHECKED + importlib.util.source_hash(file.read_bytes()):
            return
    py_compile.compile(str(file), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


_CHECKED = (0b11).to_bytes(4, "little")


def _collect(module: ModuleType, root: Path, declared: Declared) -> None:
    file = getattr(module, "__file__", None)
    if file is None:
        return
    source = Path(file).relative_to(root).as_posix()
    for value in vars(module).values():
        if not isinstance(value, Suite | Reconciliation | Dataset):
            continue
        other = declared.values.setdefault(value.name, value)
        if other is value:
            declared.sources.setdefault(value.name, source)
        else:
            kind = type(value).__name__.lower()
            declared.failures.append(
                f"{source}: {kind} {value.name!r}: the name is already declared in {declared.sources[value.name]}"
            )




def _sentence(error: BaseException, root: Path, file: Path) -> str:
    """Return why a file did not load, with the line of the project that is to blame."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(root):
        place = f"{Path(error.filename).relative_to(root).as_posix()}:{error.lineno}"
        return f"{place}: it is not Python: {error.msg}"
    path, line = file, 0
    for frame in traceback.extract_tb(error.__traceback__):
        # Only the declarations: the project may hold dq itself, or its virtual environment.
        if frame.lineno is not None and any(Path(frame.filename).is_relative_to(root / folder) for folder in FOLDERS):
            path, line = Path(frame.filename), frame.lineno
    place = path.relative_to(root).as_posix() + (f":{line}" if line else "")
    said = without_addresses(" ".join(str(error).split()))
    if isinstance(error, UsageError | TypeError):
        around = list(_around(path, line))
        kinds = [what for what, _ in around]
        # Of several on one line nobody knows which it is, unless the sentence says so itself.
        names = [f"{what} {name!r}" for what, name in around if kinds.count(what) == 1 and f"{what} '" not in said]
        said = said if isinstance(error, UsageError) else f"TypeError: {said}"
        return ": ".join((place, *([", ".join(names)] if names else []), said))
    if isinstance(error, ModuleNotFoundError) and error.name and (path.parent / f"{error.name}.py").is_file():
        return f"{place}: a file beside it is imported with a dot: `from .{error.name} import ...`"
    return f"{place}: {type(error).__name__}{f': {said}' if said else ''}"


_NAMED = {"Suite": "suite", "Reconciliation": "reconciliation", "Check": "check", "Stage": "stage"}


def _around(path: Path, line: int) -> Iterator[tuple[str, str]]:
    """Yield kind and name of the declarations around a line, from the outside in, where the name is a literal."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if (
            isinstance(node, ast.Call)
            and node.lineno <= line <= (node.end_lineno or node.lineno)
            and (what := _NAMED.get(getattr(node.func, "id", getattr(node.func, "attr", ""))))
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            yield what, node.args[0].value
