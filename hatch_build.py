"""Puts the project folders of this repository into the wheel, as the scaffold of ``dq init``."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ScaffoldHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is for plug-ins with settings
    """Adds what ``dq/scaffold/__init__.py`` lists; an editable install has it in place already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend the files of a standard wheel."""
        if version == "editable":
            return
        root = Path(self.root)
        for part in contents(root / "dq" / "scaffold" / "__init__.py"):
            build_data["force_include"][str(root / part)] = f"dq/scaffold/project/{part}"


def contents(module: Path) -> tuple[str, ...]:
    """Return the constant ``CONTENTS`` of a module without importing it, because its dependencies are not there yet."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTENTS":
            return tuple(ast.literal_eval(node.value))
    raise LookupError(f"{module} has no CONTENTS")
