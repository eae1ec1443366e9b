"""The project that ``dq init`` makes: the project folders of dq's own repository, which its demo runs.

The wheel carries them beside this file; in a source checkout they are the folders at the top, so the two cannot drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CONTENTS = (".gitignore", "alerting", "checks", "dags", "dq.toml", "reports", "tests/test_declarations.py")
"""The files and folders of a project, relative to its root."""


def scaffold_files() -> dict[str, bytes]:
    """Return the files of a new project: their content by path relative to the project's root."""
    installed = Path(__file__).parent / "project"
    root = installed if installed.is_dir() else Path(__file__).parents[2]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for part in CONTENTS
        for path in _files(root / part)
        if "__pycache__" not in path.parts
    }


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from sorted(found for found in path.rglob("*") if found.is_file())
