"""The wheel: built, installed into an empty environment, and used where the sources are out of reach."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dq.airflow_provider import get_provider_info
from dq.scaffold import scaffold_files

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command as a user would who has never seen the sources; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DQ_"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.args}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment into which only the wheel was installed, by the constraints file."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", home, cwd=home)
    pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--constraint", ROOT / "constraints.txt", wheel, cwd=home)
    return home / "bin"


def test_the_only_import_package_is_dq(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"dq", "dq_sla-0.1.0.dist-info"}
    assert not [name for name in names if "__pycache__" in name]


def test_it_carries_the_project_of_this_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        prefix = "dq/scaffold/project/"
        carried = {n.removeprefix(prefix): archive.read(n) for n in archive.namelist() if n.startswith(prefix)}
    assert carried == scaffold_files()
    assert {"dq.toml", "alerting/routes.toml", "tests/test_declarations.py"} <= set(carried)
    assert {name.partition("/")[0] for name in carried} >= {"checks", "reports", "alerting", "dags"}


def test_it_carries_all_that_its_entry_points_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    read = configparser.ConfigParser(delimiters=("=",))
    read.read_string(points)
    assert {"apache_airflow_provider", "dq.channels", "dq.doctors", "dq.engines", "dq.secrets"} <= {*read.sections()}
    modules = {target.partition(":")[0].replace(".", "/") for part in read.values() for target in part.values()}
    assert [m for m in sorted(modules) if f"{m}.py" not in names and f"{m}/__init__.py" not in names] == []
    info = get_provider_info()
    classes = [*info["notifications"], *(kind["hook-class-name"] for kind in info["connection-types"])]
    assert [name for name in classes if f"{name.rpartition('.')[0].replace('.', '/')}.py" not in names] == []


def test_airflow_can_ask_what_it_brings_before_anything_of_airflow_is_loaded(environment: Path, tmp_path: Path) -> None:
    code = "from importlib.metadata import distribution as d; (p,) = d('dq-sla').entry_points.select(group=GROUP)\n"
    code += "print(p.load()()['package-name'], d('dq-sla').metadata['name'])"
    said = run(environment / "python", "-c", f"GROUP = 'apache_airflow_provider'; {code}", cwd=tmp_path)
    assert said.split() == ["dq-sla", "dq-sla"]


def test_it_is_used_with_the_sources_out_of_reach(environment: Path, tmp_path: Path) -> None:
    assert "0.1.0" in run(environment / "dq", "--version", cwd=tmp_path)
    found = run(environment / "python", "-c", "import dq; dq.run; print(dq.__file__)", cwd=tmp_path)
    assert Path(found.strip()).is_relative_to(environment.parent)
    run(environment / "dq", "init", "shop", cwd=tmp_path)
    shop = tmp_path / "shop"
    assert {path.relative_to(shop).as_posix() for path in shop.rglob("*") if path.is_file()} == set(scaffold_files())
    run(environment / "dq", "lint", cwd=shop)
    assert not (shop / "var").exists(), "lint writes nothing"


def test_the_core_is_light(environment: Path, tmp_path: Path) -> None:
    listed = run(environment / "python", "-m", "pip", "list", "--format=freeze", cwd=tmp_path).lower()
    for heavy in ("apache-airflow", "duckdb", "pandas", "fastapi", "matplotlib", "pytest", "pydantic"):
        assert not any(line.startswith(f"{heavy}=") for line in listed.splitlines()), heavy
