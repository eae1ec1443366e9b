"""The command line: parses, calls ``dq.app``, shows. It decides nothing."""

from __future__ import annotations

from dq.cli.entry import main

__all__ = ["main"]
