"""House rules: what no tracked file may hold, and what the documents must."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

import dq
from dq.cli.entry import cli
from dq.datasource.alchemy import EXTRAS

ROOT = Path(__file__).parents[1]

FORBIDDEN = {
    "a Slack token": r"xox[abprs]-\d{6,}-[0-9A-Za-z-]{10,}",
    "a Slack webhook": r"hooks\.slack\.com/services/T[0-9A-Z]{8,}/B[0-9A-Z]{8,}/[0-9A-Za-z]{20,}",
    "an access key": r"AKIA[0-9A-Z]{16}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{100,}",
    "a machine path": r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/",
    "a package index": r"(?i)index[-_]url|pypi\.org|find-links|files\.pythonhosted",
    "a package by address": r"(?:\.whl|\.tar\.gz) @ |@ (?:https?|file)://",
    "a conflict marker": r"(?m)^(?:<{7}|>{7}) ",
}


def tracked() -> list[Path]:
    """Return the files under version control that are there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no checkout: which files are tracked is not known")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    held = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path != Path(__file__):
            held += [f"{path.relative_to(ROOT)}: {match[0][:40]!r}" for match in pattern.finditer(text)]
    assert not held, "\n".join(held)


# In two halves, so that this file does not hold them.
EXAMPLES = {
    "a Slack token": ("xox", "b-123456789012-abcdefghijkl"),
    "a Slack webhook": ("https://hooks.slack.com/services", "/T0000000A/B0000000B/abcdefghijklmnopqrstuvwx"),
    "an access key": ("AKIA", "ABCDEFGHIJKLMNOP"),
    "a private key": ("-----BEGIN RSA PRIVATE", " KEY-----\n" + "A" * 120),
    "a machine path": ("see /ro", "ot/x"),
    "a package index": ("--extra-index", "-url x"),
    "a package by address": ("dq @", " file:///tmp/x"),
    "a conflict marker": ("a\n<<<<<<", "< HEAD\n"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_rules_find_what_they_look_for(what: str) -> None:
    assert re.search(FORBIDDEN[what], "".join(EXAMPLES[what]))


@pytest.mark.parametrize(
    ("constraints", "variable", "pythons"),
    [("constraints.txt", "PARTS", ("3.11", "3.13")), ("constraints-airflow2.txt", "AIRFLOW2_PARTS", ("3.11", "3.12"))],
)
def test_every_installed_package_is_pinned_once_and_without_an_address(
    constraints: str, variable: str, pythons: tuple[str, ...]
) -> None:
    lines = (ROOT / constraints).read_text(encoding="utf-8").splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!-]*", line)] == []
    pinned = [re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines]
    assert len(set(pinned)) == len(pinned)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # The drivers of databases that no test can reach are not installed here, so nothing says which of them are good.
    parts = re.search(rf"(?m)^{variable} +:= '\.\[([a-z,]+)\]'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert parts is not None
    tested = parts[1].split(",")
    required = [*project["dependencies"], *(r for extra in tested for r in project["optional-dependencies"][extra])]
    for requirement in map(Requirement, required):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"python_version": python}) for python in pythons):
            assert re.sub(r"[-_.]+", "-", requirement.name).lower() in pinned, requirement


def test_every_core_dependency_is_used() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dq").rglob("*.py"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"]:
        name = re.split(r"[^A-Za-z0-9_-]", requirement)[0].replace("-", "_")
        if name == "tzdata":
            continue  # it is data, which the standard library reads
        assert re.search(rf"(?m)^ *(?:import {name}\b|from {name}\b)", source), f"nothing imports {name}"


def test_the_extras_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    expected = {"airflow", "postgres", "mysql", "web", "plots", "dev", "duckdb", *EXTRAS.values()}
    assert expected <= set(project["optional-dependencies"])


def test_every_entry_point_of_dq_loads() -> None:
    expected = {
        "console_scripts": {"dq"},
        "dq.channels": {"email", "pagerduty", "pagerduty_change", "slack", "victorops", "webhook"},
        "dq.secrets": {"airflow", "env", "file"},
    }
    for group, names in expected.items():
        own = {p.name: p for p in entry_points(group=group) if p.dist is not None and p.dist.name == "dq-sla"}
        assert set(own) == names
        # In a process of its own: an Airflow that is imported takes over all logging.
        load = "import sys; from importlib.metadata import EntryPoint; _, *points = sys.argv\n"
        load += 'print([callable(EntryPoint("x", point, "y").load()) for point in points])'
        command = [sys.executable, "-c", load, *(point.value for point in own.values())]
        done = subprocess.run(command, check=False, capture_output=True)
        assert done.stdout.splitlines()[-1:] == [str([True] * len(own)).encode()], done.stderr


def commands(group: click.Group, prefix: str = "dq") -> list[str]:
    """Return the full names of all commands."""
    names = []
    for name, command in group.commands.items():
        full = f"{prefix} {name}"
        names += commands(command, full) if isinstance(command, click.Group) else [full]
    return names


def test_the_documents_name_every_command() -> None:
    reference = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in commands(cli) if name not in reference] == [], "write it anew: make docs"


def test_the_changelog_speaks_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version}]" in changelog or "## [Unreleased]" in changelog


def test_the_version_is_written_alike_in_both_places() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == dq.__version__
