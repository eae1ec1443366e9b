"""Walks through a document as a reader would: writes its files, types its commands, and compares what they answer.

In a document

- a block whose first line is a comment with a path, ``# checks/orders.py``, is that file, in the folder one is in;
- a ``console`` block is a dialogue: commands after ``$ ``, then what they print;
- any other block is only shown.

``python -m tests.walk README.md`` walks and writes what was answered into the document.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"(?:#|<!--) ([\w./-]+\.(?:py|toml|cfg|sql))\b")
# What differs from run to run.
_VARYING = (
    (re.compile(r"\(\d+\.\ds\)"), "(0.1s)"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "5f0c7f3e-2a51-4d0c-9d6b-1f6a2b7c8d9e"),
)


@frozen
class Block:
    """A fenced block of a document: its language, its text, and where the text begins and ends."""

    language: str
    text: str
    start: int
    end: int

    @property
    def file(self) -> str | None:
        """The file that it is; None: it is none."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language in {"python", "toml", "sql"} else None

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of a dialogue."""
        return tuple(line[2:] for line in self.text.splitlines() if line.startswith("$ "))


def blocks(document: str) -> Iterator[Block]:
    """Yield the fenced blocks of a document."""
    for found in _BLOCK.finditer(document):
        yield Block(found[1], found[2], found.start(2), found.end(2))


def steady(text: str) -> str:
    """Return ``text`` with what varies from run to run as it stands in the documents."""
    for pattern, shown in _VARYING:
        text = pattern.sub(shown, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


class Reader:
    """Somebody with a shell in a folder.

    Args:
        folder: where the walk begins.
        environment: variables that are set at the start; no ``DQ_`` variable of ours is.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DQ_", "AIRFLOW", "PYTEST"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{clean.get('PATH', '')}"
        self.environment = {**clean, "PATH": path, "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1", **environment}

    def type(self, command: str) -> str:
        """Type a command and return what it prints; ``cd`` and ``export`` hold for the next one."""
        with tempfile.TemporaryDirectory() as kept:
            script = f"{command}\nenv -0 > {kept}/env\npwd > {kept}/pwd\n"
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self.environment,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
            )
            if not Path(kept, "pwd").exists():  # not Bash any more, or a syntax error
                return done.stdout
            self.folder = Path(Path(kept, "pwd").read_text().rstrip("\n"))
            pairs = Path(kept, "env").read_text().rstrip("\0").split("\0")
            self.environment = dict(pair.split("=", 1) for pair in pairs)
        return steady(done.stdout)

    def write(self, name: str, text: str) -> None:
        """Write a file in the folder one is in."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.name == "pyproject.toml":
            self._install(path.parent, text)

    def _install(self, folder: Path, pyproject: str) -> None:
        """Leave behind what ``pip install`` of a package does: its entry points, and where to import it from."""
        project = tomllib.loads(pyproject)["project"]
        info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        groups = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in project["entry-points"].items()
        )
        (info / "entry_points.txt").write_text("\n".join(groups))
        self.environment["PYTHONPATH"] = str(folder)

    def walk(self, document: str, change: Callable[[Block], str] = lambda block: block.text) -> str:
        """Walk through ``document`` and return it as it should read.

        Args:
            document: the text of the document.
            change: gives the text of a block that is a file; used where a name in it must be another one here.
        """
        pieces: list[str] = []
        at = 0
        for block in blocks(document):
            text = block.text
            if block.file is not None:
                self.write(block.file, change(block))
            elif block.language == "console":
                text = "".join(f"$ {command}\n{self.type(command)}" for command in block.commands)
            pieces += [document[at : block.start], text]
            at = block.end
        return "".join([*pieces, document[at:]])


def checkout(folder: Path) -> Path:
    """Return a folder that looks like a checkout of this repository to a reader of its documents."""
    (folder / "dq" / "docs").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "shop.sql", folder / "dq" / "docs")
    return folder / "dq"


def main() -> int:
    """Walk through the documents named on the command line and write what was answered into them."""
    for name in sys.argv[1:]:
        path = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            read = Reader(checkout(Path(folder).resolve()), {}).walk(path.read_text())
            path.write_text(read.replace(str(Path(folder).resolve()), "/home/you"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
