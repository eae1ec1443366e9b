"""From Airflow 2 to dq: what the DAG files of a folder still ask of Airflow that Airflow 3 does not do."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from importlib.util import decode_source
from pathlib import Path

from attrs import frozen

from dq.app.airflow_uses import Use, uses
from dq.app.linting import Problem
from dq.model.errors import UsageError


@frozen
class DagFiles:
    """What was read.

    Attributes:
        count: files that were looked into.
        problems: what has to change in them, and what could not be read.
    """

    count: int
    problems: tuple[Problem, ...]


def lint_airflow(folder: Path) -> DagFiles:
    """Return every use of Airflow 2's SLAs and sub-DAGs in the ``*.py`` files of a folder, or in one file.

    The files are read as text: none is imported or run, and Airflow need not be there. Folders whose name begins with
    a dot are left out. A file that cannot be read is a problem of its own.

    Raises:
        UsageError: when the folder is not there or cannot be listed.
    """
    try:
        if folder.is_file():
            return DagFiles(1, tuple(_of_file(folder)))
        os.scandir(folder).close()
    except OSError as error:
        raise UsageError(f"the folder {_shown(folder)} cannot be read: {error.strerror}") from None
    problems: list[Problem] = []
    count = 0
    for found in _python_files(folder):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            count += 1
            problems += _of_file(found)
    if not count:
        problems.append(Problem("warning", f"{_shown(folder)}: there is no *.py file in it", _shown(folder)))
    return DagFiles(count, tuple(problems))


def _python_files(folder: Path) -> Iterator[Path | Problem]:
    """Yield the files in order; a folder that cannot be listed is a problem. Links are followed, as Airflow does."""
    refused: list[OSError] = []
    seen: set[str] = set()
    for top, folders, files in os.walk(folder, onerror=refused.append, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        yield from (Path(top, name) for name in sorted(files) if name.endswith(".py"))
    for error in refused:
        yield _unread(Path(str(error.filename)), 1, f"it cannot be listed: {error.strerror}")


def _of_file(path: Path) -> Iterator[Problem]:
    content = b""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            yield _unread(path, 1, "it is no file that can be read")
            return
        content = path.read_bytes()
        found = uses(decode_source(content))
    except OSError as error:
        yield _unread(path, 1, f"it cannot be read: {error.strerror}")
    except SyntaxError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        yield _unread(path, error.lineno or 1, f"it cannot be read as Python {version}: {error.msg}")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        yield _unread(path, line, f"it is not {error.encoding} text, and its first lines name no other encoding")
    except (LookupError, ValueError):  # a coding line that names something else, null bytes before Python 3.12
        line = content.count(b"\n", 0, max(content.find(b"\0"), 0)) + 1
        yield _unread(path, line, "it is no text that Python can read")
    except (RecursionError, MemoryError):
        yield _unread(path, 1, "it is nested too deeply to be read")
    else:
        yield from (_problem(path, use) for use in found)


def _unread(path: Path, line: int, clause: str) -> Problem:
    file = _shown(path)
    return Problem("error", f"{file}:{line}: {clause}", file, line=line)


def _problem(path: Path, use: Use) -> Problem:
    file = _shown(path)
    names = (("DAG", use.dag), ("task", use.task))
    who = ", ".join(f"{what} {name!r}" for what, name in names if name is not None)
    sentence = ": ".join(filter(None, (f"{file}:{use.line}", who, use.clause)))
    return Problem("error", sentence, file, "dag", use.dag, use.task, line=use.line)


def _shown(path: Path) -> str:
    """Return the path as text; a name that is no text has a sign for each byte that is none."""
    return os.fsencode(path.as_posix()).decode(errors="replace")
