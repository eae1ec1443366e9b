"""Random histories at full count: ``python -m tests.soak [FILE ...]``; it writes down what ran, and on what."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import TABLE

PROOFS = Path("docs/proofs")


def main() -> int:
    """Run the tests marked ``soak`` with a new seed (or ``DQ_SEED``); return pytest's exit code."""
    seed = os.environ.get("DQ_SEED") or str(time.time_ns() % 10**9)
    started, began = datetime.now(UTC), time.monotonic()
    only = sys.argv[1:]
    command = [sys.executable, "-m", "pytest", "-m", "soak", "-q", "--color=no", *only]
    lines: list[str] = []
    environment = {**os.environ, "DQ_SOAK": "1", "DQ_SEED": seed}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            lines.append(line.rstrip())
    counts = [line for line in lines if re.match(r" *[\d,]+  tests/", line) or line.startswith(TABLE)]
    report = [
        f"Random histories at full count, {started:%Y-%m-%d}",
        f"commit   {_said('git', 'rev-parse', 'HEAD')}{' (changed)' if _said('git', 'status', '--porcelain') else ''}",
        f"seed     {seed} (run again with DQ_SEED={seed} and the same files)",
        f"files    {' '.join(only) or 'all'}",
        f"machine  {os.cpu_count()} cores, {_memory()} GB, Python {platform.python_version()}, {platform.system()}",
        f"took     {time.monotonic() - began:.0f} s",
        f"result   {'passed' if process.returncode == 0 else 'FAILED'}: {lines[-1] if lines else 'nothing ran'}",
        "",
        *(counts or ["(no seeded histories ran)"]),
    ]
    PROOFS.mkdir(parents=True, exist_ok=True)
    path = PROOFS / f"{started:%Y-%m-%d}-soak-{_said('git', 'rev-parse', '--short', 'HEAD')}.txt"
    path.write_text("\n".join(report) + "\n", encoding="utf-8")
    sys.stdout.write(f"written: {path}\n")
    return process.returncode


def _said(*command: str) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


if __name__ == "__main__":
    sys.exit(main())
