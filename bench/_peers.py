"""The peers' own environments: made once from the committed versions in bench/peers/, never dq's."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "var" / "bench" / "venvs"


def python(peer: str) -> Path:
    """Return the interpreter of a peer; dq and what is written by hand have the one that runs this."""
    return _made(peer) / "python" if _file(peer).exists() else Path(sys.executable)


def scripts(peer: str) -> Path:
    """Return where the commands of a peer are."""
    return _made(peer) if _file(peer).exists() else Path(sysconfig.get_path("scripts"))


def version(peer: str, package: str) -> str:
    """Return the committed version of a package of a peer."""
    lines = dict(line.split("==", 1) for line in _file(peer).read_text("ascii").splitlines() if "==" in line)
    return lines[package]


def _file(peer: str) -> Path:
    return HERE / "peers" / f"{peer}.txt"


@cache
def _made(peer: str) -> Path:
    folder, file = ENVIRONMENTS / peer, _file(peer)
    mark = folder / "made-from"
    wanted = hashlib.sha256(file.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text("ascii") != wanted:
        print(f"making the environment of {peer}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement", str(file)]
        done = subprocess.run(install, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the environment of {peer} could not be made:\n{done.stderr[-2000:]}")
        mark.write_text(wanted, encoding="ascii")
    return folder / "bin"
