"""Damping: in how many of its last runs something must be bad before people are told."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dq.model.errors import DeclarationError

MOST_RUNS = 64
"""As many runs as the store remembers of an incident that nobody was told of."""

_OF = re.compile(r"([0-9]{1,9}) of ([0-9]{1,9})")


def read_for_runs(value: object) -> tuple[int, int]:
    """Return what ``for_runs=`` spells: in how many of the last how many runs it must be bad.

    Args:
        value: ``2`` (two runs, one after the other), ``"2 of 3"``, or None: the first bad run is told.

    Raises:
        DeclarationError: when it is none of these, or speaks of more than ``MOST_RUNS`` runs.
    """
    if value is None:
        return 1, 1
    spelled = _OF.fullmatch(value) if isinstance(value, str) else None
    if spelled is not None:
        bad, runs = int(spelled[1]), int(spelled[2])
    elif isinstance(value, int) and not isinstance(value, bool):
        bad = runs = value
    else:
        bad = runs = 0
    if bad < 1 or runs > MOST_RUNS:
        raise DeclarationError(f'for_runs={value!r} is no number of runs from 1 to {MOST_RUNS}, and no "2 of 3"')
    if bad > runs:
        raise DeclarationError(f"for_runs={value!r} wants more bad runs than it looks at")
    return bad, runs


def for_runs_problems(value: object) -> Iterator[str]:
    """Yield what is wrong with ``for_runs=``, a clause."""
    try:
        read_for_runs(value)
    except DeclarationError as error:
        yield str(error)
