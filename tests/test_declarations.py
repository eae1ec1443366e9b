"""The declarations of this project are sound: run it in CI, it needs no database."""

from __future__ import annotations

from pathlib import Path

from dq import app


def test_every_declaration_is_sound() -> None:
    project = app.open_project(Path(__file__).parent)
    assert project.suites or project.reconciliations, "nothing is declared"
    problems = [problem.sentence for problem in app.lint(project) if problem.level != "warning"]
    assert not problems, "\n".join(problems)
