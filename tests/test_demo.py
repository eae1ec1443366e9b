"""The demo keeps its promises, notices each one that is broken, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.demo import play
from tests.demo.__main__ import main
from tests.demo.promises import PROMISES

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

BROKEN = {
    "smtp": {"wrong mail", "mended mail"},
    "slack": {"slack"},
    "pagerduty": {"pagerduty"},
    "victorops": {"victorops"},
    "route": {"pagerduty", "victorops"},
    "callback": {"callback"},
    "gate": {"dags"},
    "report": {"report"},
    "days": {"slack", "pagerduty", "victorops", "mended mail"},
}


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """One Airflow for all demos of this module, because it takes long to start."""
    folder = tmp_path_factory.mktemp("airflow")
    with play.airflow(folder, play.ROOT / "dags") as running:
        yield running


def processes(folder):
    """Return the ids of the processes that have ``folder`` in their arguments or environment, this one left out."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if str(folder).encode() in text and int(process.name) != os.getpid():
            found.add(int(process.name))
    return found


def wait_until(happened, seconds):
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.1)


def start(folder):
    command = [sys.executable, "-m", "tests.demo", "--into", str(folder)]
    return subprocess.Popen(
        command, cwd=play.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_everything_that_is_promised_happens(tmp_path):
    folder = tmp_path / "demo"
    demo = start(folder)
    output, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, output
    for promise in PROMISES:
        assert f"✓ {promise.sentence}" in output
    assert "P.A. Trento: 253558 of 253558 missing" in output
    pages = {"1-wrong": "253558", "2-late": "No rows", "3-mended": "All 21", "message_pipeline-2016-04-28": "261254"}
    for name, words in pages.items():
        assert str(folder / f"{name}.html") in output
        assert words in (folder / f"{name}.html").read_text()
        assert "Subject: dev" in (folder / f"{name}.eml").read_text()
    assert not processes(folder)


@pytest.mark.parametrize("name", play.BREAKS)
def test_a_broken_promise_is_named(name, airflow, tmp_path, capsys):
    code = main(["--break", name, "--into", str(tmp_path / "demo")], airflow)
    output = capsys.readouterr().out
    assert code == 1, output
    assert output.splitlines()[-1].startswith("Broken promises: "), output
    named = output.splitlines()[-1].removeprefix("Broken promises: ").rpartition(" (")[0]
    assert set(named.split(", ")) == BROKEN[name], output
    for promise in PROMISES:
        assert f"{'✗' if promise.name in BROKEN[name] else '✓'} {promise.sentence}" in output
        assert (f"    {promise.name}: " in output) is (promise.name in BROKEN[name])


def test_every_promise_can_be_broken():
    assert set.union(*BROKEN.values()) == {promise.name for promise in PROMISES}


def test_a_dag_file_that_does_not_import_is_one_sentence(airflow, tmp_path, capsys, monkeypatch):
    wrong = play.Break(edit=("dags/daily_checks.py", '"covid_regions"', '"covid_region"'))
    monkeypatch.setitem(play.BREAKS, "import", wrong)
    assert main(["--break", "import", "--into", str(tmp_path / "demo")], airflow) == 1
    output = capsys.readouterr().out
    assert "Airflow could not import the DAG files: " in output
    assert "did you mean 'covid_regions'" in output
    assert not processes(tmp_path)


def test_a_folder_that_is_there_already_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(["--into", str(tmp_path)])
    assert ended.value.code == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "code", "begun"),
    [
        (signal.SIGINT, 130, "running task"),
        (signal.SIGTERM, 143, ""),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_nothing_is_left_when_it_is_interrupted(number, code, begun, tmp_path):
    folder = tmp_path / "demo"
    log = folder / "airflow.log"
    demo = start(folder)
    wait_until(lambda: (folder / "receivers.json").exists() and len(processes(folder)) >= 3, 60)
    wait_until(lambda: begun in log.read_text(), 120)
    os.killpg(demo.pid, number)  # as the terminal does
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == code, output
    if number == signal.SIGKILL:  # it could not end them, so they notice by themselves
        wait_until(lambda: not processes(folder), 60)
    assert not processes(folder)
