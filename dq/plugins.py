"""Plug-ins: channels, secret stores and datasources that are found by the entry points of installed packages.

What dq brings itself comes through the same door.
"""

from __future__ import annotations

import difflib
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dq.model.errors import ConfigError


def plugin_names(group: str) -> tuple[str, ...]:
    """Return the names that installed packages offer in an entry point group such as ``"dq.channels"``, sorted."""
    return tuple(sorted({point.name for point in _points(tuple(sys.path)).select(group=group)}))


@lru_cache(maxsize=8)
def _points(path: tuple[str, ...]) -> Any:  # noqa: ARG001  # what is installed lies on the path
    """Return all entry points; to look for them reads a file of every installed package, and each run asks often."""
    return entry_points()  # of which only select() is alike in Python 3.11 and later


def load_plugin(group: str, name: str) -> Any:
    """Return the object that an installed package offers.

    Args:
        group: the entry point group: ``"dq.channels"``, ``"dq.secrets"``, ``"dq.engines"``, ``"dq.datasources"`` or
            ``"dq.doctors"``.
        name: the name in it, e.g. ``"slack"``.

    Raises:
        ConfigError: when no package offers it, when two do, or when it cannot be imported; the sentence names the
            packages.
    """
    points = {_package(point): point for point in _points(tuple(sys.path)).select(group=group, name=name)}
    if not points:
        raise ConfigError(f"no installed package offers {name!r} in {group}; {suggest(name, plugin_names(group))}")
    if len(points) > 1:
        raise ConfigError(f"{name!r} in {group} is offered by several packages: {', '.join(sorted(points))}")
    ((package, point),) = points.items()
    try:
        return point.load()
    except Exception as error:
        raise ConfigError(
            f"{name!r} in {group}, from the package {package}, does not load: {type(error).__name__}: {error}"
        ) from error


def suggest(word: str, known: tuple[str, ...]) -> str:
    """Return what is known as a clause for an error, with the nearest word where one is near."""
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}known are {', '.join(known)}" if known else "none are known"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"
