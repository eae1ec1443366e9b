"""``dq lint --airflow``: what DAG files still ask of Airflow 2, found without running them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from dq.cli import main
from dq.model.sla import Sla
from tests.walk import Reader

ROOT = Path(__file__).parents[1]
IGNORED = "does nothing on Airflow 3;"
HEAD = "from datetime import timedelta\nfrom airflow.sdk import DAG, dag, task\nfrom ops import Load\n"


@frozen
class Said:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


Dq = Callable[..., Said]
Lint = Callable[[str], list[str]]


@pytest.fixture
def dq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dq:
    """Write DAG files below ``dags/`` of an empty folder and call the command there."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, files: Mapping[str, str | bytes] | None = None) -> Said:
        for name, content in (files or {}).items():
            path = tmp_path / "dags" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(SystemExit) as end:
            main(["lint", *(args or ("--airflow", "dags"))])
        captured = capsys.readouterr()
        return Said(int(str(end.value.code)), captured.out, captured.err)

    return run


@pytest.fixture
def lint(dq: Dq) -> Lint:
    """Return what is said of a file after ``HEAD``, each as ``LINE: ...``, counted from the line after it."""

    def run(text: str) -> list[str]:
        said = dq(files={"a.py": HEAD + text})
        assert said.code == (2 if said.out else 0)
        above = HEAD.count("\n")
        places = [re.fullmatch(r"error: dags/a\.py:(\d+): (.*)", line) for line in said.lines]
        return [f"{int(place[1]) - above}: {place[2]}" for place in places if place]

    return run


def test_each_use_with_its_place_its_ids_and_what_to_write(lint: Lint) -> None:
    assert lint(
        "from airflow.operators.subdag import SubDagOperator\n"
        "from alerts import tell\n"
        "ARGS = {'retries': 2, 'sla': timedelta(hours=2)}\n"
        "with DAG('orders', default_args=ARGS, sla_miss_callback=tell):\n"
        "    Load(task_id='load', sla=timedelta(minutes=90))\n"
        "    SubDagOperator(task_id='parts', subdag=None)\n"
    ) == [
        "1: SubDagOperator is not in Airflow 3, where this file does not load; import TaskGroup instead",
        (
            f"3: DAG 'orders': \"sla\" in default_args {IGNORED} "
            'write sla(task, within="2h") of dq.airflow for each task that matters, or for the last one, or '
            'better, where they leave data behind, sla=Sla(within="2h") on the suites that check it'
        ),
        (
            f"4: DAG 'orders': sla_miss_callback= {IGNORED} "
            "write on_miss=tell in sla(...) or Sla(...); it is called with the same five arguments"
        ),
        (
            f"5: DAG 'orders', task 'load': sla= {IGNORED} "
            'write sla(load, within="1h30m") of dq.airflow, or better, where it leaves data behind, '
            'sla=Sla(within="1h30m") on the suite that checks it'
        ),
        (
            "6: DAG 'orders', task 'parts': SubDagOperator is not in Airflow 3; "
            'write a TaskGroup("parts") and put the tasks of the sub-DAG into it'
        ),
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    {
        "a task": ("Load(task_id='t', sla=X)", "1: task 't': sla= "),
        "a name is followed": ("T = 't'\nLoad(task_id=T, sla=X)", "2: task 't': sla= "),
        "in a DAG by with": ("with DAG(dag_id='d') as d:\n  Load(task_id='t', sla=X)", "2: DAG 'd', task 't': "),
        "in a DAG by name": ("d = DAG('d')\nwith d:\n  Load(task_id='t', sla=X)", "3: DAG 'd', task 't': "),
        "in a DAG by dag=": ("d = DAG('d')\nLoad(task_id='t', sla=X, dag=d)", "2: DAG 'd', task 't': "),
        "an id that is computed": ("with DAG(f'{d}'):\n  Load(task_id=f'{t}', sla=X)", "2: sla= "),
        "several lines": ("Load(\n  task_id='t',\n  sla=X,\n)", "3: task 't': "),
        "@task": ("@task(sla=X)\ndef t(): pass", "1: task 't': "),
        "@task with an id": ("@task.branch(sla=X, task_id='u')\ndef t(): pass", "1: task 'u': "),
        "@dag": ("@dag(sla_miss_callback=f)\ndef d(): pass", "1: DAG 'd': sla_miss_callback= "),
        "in @dag": ("@dag\ndef d():\n  Load(task_id='t', sla=X)", "3: DAG 'd', task 't': "),
        "in @dag with an id": ("@dag('e')\ndef d():\n  Load(task_id='t', sla=X)", "3: DAG 'e', task 't': "),
        "override": ("t.override(sla=X)()", "1: task 't': "),
        "partial": ("Load.partial(task_id='t', sla=X).expand(a=[1])", "1: task 't': "),
        "a class of one's own": ("class A(Load):\n  def __init__(self, sla): super().__init__(sla=sla)", "2: sla= "),
        "two stars": ("common = {'sla': X}\nLoad(task_id='t', **common)", "1: task 't': sla= "),
        "two stars, dict()": ("Load(task_id='t', **dict(sla=X))", "1: task 't': sla= "),
        "an attribute": ("t.sla = timedelta(hours=1)", "1: sla= "),
        "a callback as attribute": ("d.sla_miss_callback = f", "1: sla_miss_callback= "),
        "default_args": ("DAG('d', default_args={'sla': X})", "1: DAG 'd': \"sla\" in default_args "),
        "default_args, dict()": ("DAG('d', default_args=dict(sla=X))", "1: DAG 'd': \"sla\" in default_args "),
        "default_args, a name": ("a = dict(\n sla=X)\nDAG('d', default_args=a)", "2: DAG 'd': \"sla\" in "),
        "default_args, one name for all": ("default_args = {'sla': X}", '1: "sla" in default_args '),
        "default_args, set later": ("default_args['sla'] = X", '1: "sla" in default_args '),
        "default_args, name set later": ("DAG('d', default_args=a)\na['sla'] = X", '2: "sla" in default_args '),
        "default_args, update": ("default_args.update({'sla': X})", '1: "sla" in default_args '),
        "default_args, update by keyword": ("default_args.update(sla=X)", '1: "sla" in default_args '),
        "default_args, setdefault": ("default_args.setdefault('sla', X)", '1: "sla" in default_args '),
        "default_args, merged": ("b = {'sla': X}\nDAG('d', default_args={**b} | {})", "1: DAG 'd': \"sla\" in "),
        "default_args, copied": ("b = {'sla': X}\nDAG('d', default_args=b.copy())", "1: DAG 'd': \"sla\" in "),
        "default_args, a callback": ("DAG('d', default_args={'sla_miss_callback': f})", "1: DAG 'd': \"sla_miss_callb"),
        "default_args, of two DAGs": (
            "a = {'sla': X}\nDAG('d', default_args=a)\nDAG('e', default_args=a)",
            '1: "sla" in default_args ',
        ),
        "SubDAG, the module": ("import airflow.operators.subdag_operator", "1: SubDagOperator is not in"),
        "SubDAG, from its folder": ("from airflow.operators import subdag", "1: SubDagOperator is not in"),
    }.values(),
)  # fmt: skip
def test_every_way_to_say_it_is_found_once(lint: Lint, text: str, start: str) -> None:
    (said,) = lint(text + "\n")
    assert said.startswith(start)


@pytest.mark.parametrize(
    "use", ["import airflow.operators.subdag as s\ns.SubDagOperator(task_id='t')",
            "from airflow.operators.subdag import SubDagOperator as S\nS(task_id='t')"],
)  # fmt: skip
def test_a_sub_dag_by_another_name(lint: Lint, use: str) -> None:
    assert [line[:2] for line in lint(use)] == ["1:", "2:"]


@pytest.mark.parametrize(
    "text",
    [
        "import dq\ndq.Suite('s', t, sla=dq.Sla(within='1h'))",
        "from dq import Suite, Sla\nSuite('s', t, sla=PROMISE)",
        "from dq import *\nSuite('s', t, sla=Sla(within='1h'))",
        "from dq import Sla\nP = Sla(within='1h')\nevolve(suite, sla=P)",
        "from dq import Reconciliation as R\nR('r', sla=P)",
        "import dq.airflow as q\nq.suite_group('s', sla=P)",
        "Load(task_id='t', sla=None)",
        "NONE = None\nLoad(task_id='t', sla=NONE)",
        "DAG('d', sla_miss_callback=None, default_args={'sla': None, 'a': 1})",
        "def f(sla=None, sla_miss_callback=None): pass",
        "print('sla=', {'sla': 1})",
        "class A:\n  def __init__(self, x): self.sla = timedelta(hours=1)",
        "row.sla = row.sla * 2",
        "from mine import SubDagOperator\nSubDagOperator(task_id='t')",
        "# sla=timedelta(hours=1)",
    ],
)
def test_what_is_no_promise_of_airflow_is_left_alone(lint: Lint, text: str) -> None:
    assert lint(text) == []


def test_another_package_that_begins_like_dq_is_not_dq(lint: Lint) -> None:
    assert len(lint("from dqx import Suite\nSuite(sla=1)\nfrom .dq import Table\nTable(sla=1)")) == 2


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("timedelta(hours=1)", 'Sla(within="1h")'),
        ("timedelta(minutes=90)", 'Sla(within="1h30m")'),
        ("timedelta(1)", 'Sla(within="1d")'),
        ("timedelta(weeks=1)", 'Sla(within="7d")'),
        ("timedelta(seconds=24 * 60 * 60)", 'Sla(within="1d")'),
        ("timedelta(hours=0.5)", 'Sla(within="30m")'),
        ("datetime.timedelta(hours=2, minutes=-15)", 'Sla(within="1h45m")'),
        ("pendulum.duration(hours=1)", 'Sla(within="1h")'),
        ("HOUR", 'Sla(within="1h")'),
        # A text of two units would round it.
        ("timedelta(days=1, hours=1, seconds=1)", "Sla(within=timedelta(days=1, hours=1, seconds=1))"),
        ("timedelta(microseconds=1)", "Sla(within=timedelta(microseconds=1))"),
        ("timedelta(hours=n)", "Sla(within=timedelta(hours=n))"),
        ("timedelta(hours=True or 1)", "Sla(within=timedelta(hours=True or 1))"),
        ("timedelta(days=10 ** 30)", "Sla(within=timedelta(days=10 ** 30))"),
        ("timedelta(days=1e300)", "Sla(within=timedelta(days=1e300))"),
        ("timedelta(parsecs=1)", "Sla(within=timedelta(parsecs=1))"),
        ("LIMITS['orders']", "Sla(within=LIMITS['orders'])"),
        ("TWICE", "Sla(within=TWICE)"),
        ("PARAMETER", "Sla(within=PARAMETER)"),
        ("3600", "Sla(within=...)"),
        ("f(\n1)", "Sla(within=...)"),
        ("f('postgresql://u:p@h/d')", "Sla(within=...)"),
        ("f('0123456789abcdef0123456789abcdef')", "Sla(within=...)"),
        (f"f({'a, ' * 40})", "Sla(within=...)"),
    ],
)
def test_the_line_to_write(lint: Lint, value: str, written: str) -> None:
    names = "HOUR = PARAMETER = timedelta(hours=1)\nTWICE = 1\nTWICE = 2\ndef f(PARAMETER): pass\n"
    (said,) = lint(f"{names}Load(task_id='t', sla={value})\n")
    assert said.endswith(f", or better, where it leaves data behind, sla={written} on the suite that checks it")
    assert f"; write sla(t, {written[4:-1]}) of dq.airflow, or better" in said
    if '"' in written:
        assert isinstance(eval(written, {"Sla": Sla}), Sla), "dq takes what lint says"


@pytest.mark.parametrize("value", ["timedelta()", "timedelta(0)", "timedelta(minutes=-5)"])
def test_a_promise_that_leaves_no_time(lint: Lint, value: str) -> None:
    assert lint(f"Load(sla={value})") == ["1: sla= does nothing on Airflow 3; take it out, for it leaves no time"]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("first = Load(task_id='t', sla=X)", "first"),
        ("first = second = Load(task_id='t', sla=X)", "first"),
        ("Load(task_id='t', sla=X)", "t"),
        ("Load(task_id='load-orders', sla=X)", "task"),
        ("@task(sla=X)\ndef t(): pass", "t(...)"),
        ("t.override(sla=X)()", "t(...)"),
        ("t.sla = timedelta(hours=1)", "t"),
        ("class A(Load):\n  def __init__(self, sla): super().__init__(sla=sla)", "task"),
    ],
)
def test_what_the_line_to_write_calls_the_task(lint: Lint, text: str, target: str) -> None:
    (said,) = lint(text)
    assert f"; write sla({target}, within=" in said


BESIDE = "into a module beside this file, e.g. alerts.py, and write on_miss="


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("alerts.tell", "; write on_miss=alerts.tell in sla(...) or Sla(...); it is called with the same five"),
        ("local", f'; move local {BESIDE}"alerts:local" in sla(...) or Sla(...); it is called with the'),
        ("slack('https://hooks.example.org/x')", f'; put a function that does the same {BESIDE}"alerts:tell" in'),
        ("lambda *five: None", f'; put a function that does the same {BESIDE}"alerts:tell" in sla(...)'),
        ("[alerts.tell, log]", f'; put one function that calls each of them {BESIDE}"alerts:tell" in sla(...)'),
        ("dq.airflow.sla_miss_callback", "; sla() of dq.airflow needs none there"),
    ],
)
def test_the_callback_to_write(lint: Lint, value: str, words: str) -> None:
    (said,) = lint(f"def local(*five): pass\nDAG('d', sla_miss_callback={value})")
    assert words in said


# ------------------------------------------------------------------------------------------------------ hostile files

GOOD = "op(task_id='t', sla=x)\n"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "null bytes": (b"a = 1\nb = '\0'\n", r":\d: it "),
    "a syntax error": (b"a = 1\nif:\n", r":2: it cannot be read as Python 3\.\d+: invalid syntax"),
    "Python 2": (b"print 'x'\n", ":1: it cannot be read as Python"),
    "too many parentheses": (b"(" * 5000, ":1: it "),
    "deep nesting": (b"-" * 200_000 + b"1", ":1: it is nested too deeply to be read"),
    "deep attributes": (b"x = a" + b".b" * 200_000 + b"\n", ":1: it is nested too deeply to be read"),
    "latin-1 without a word": ("# a\n# b\nx = 'é'\n".encode("latin-1"), ":3: it is not utf-8 text"),
    "latin-1 in the first line": ("x = 'é'\n".encode("latin-1"), ":1: it cannot be read as Python"),
    "an unknown encoding": (b"# coding: klingon\n", ":1: it cannot be read as Python"),
    "an encoding of no text": (b"# coding: rot13\nx = 1\n", ":1: it "),
    "half of a surrogate pair": (b"# coding: unicode_escape\n\\ud800\n", ":1: it "),
    "no Python": (bytes(range(256)), r":\d: it "),
}


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_cannot_be_read_is_one_problem_and_takes_no_other_down(dq: Dq, content: bytes, words: str) -> None:
    said = dq(files={"a.py": content, "b.py": GOOD})
    assert (said.code, len(said.lines)) == (2, 2), said
    assert re.match(f"error: dags/a.py{words}", said.lines[0])
    assert said.lines[1].startswith("error: dags/b.py:1: task 't': sla= ")
    assert said.err == "2 DAG files read: 2 problems, 0 warnings\n"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        f"# -*- coding: latin-1 -*-\nx = 'é'\n{GOOD}".encode("latin-1"),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\r").encode(),
        GOOD.rstrip("\n").encode(),
        ("x = '\\d'\n" + GOOD).encode(),  # Python warns of it
        ("x = 1" + " + 1" * 900 + "\n" + GOOD).encode(),
        b"a = {**a, 'b': a}\nop(default_args=a, **a)\nc = c\nop(sla=c)\n",
    ],
    ids=["BOM", "latin-1", "CRLF", "CR", "no last newline", "a bad escape", "a long sum", "in a circle"],
)
def test_an_odd_file_is_read(dq: Dq, content: bytes) -> None:
    said = dq(files={"a.py": content})
    assert len(said.lines) == 1 and ": sla= does nothing" in said.out
    assert said.err == "1 DAG file read: 1 problem, 0 warnings\n"


def test_an_id_that_nothing_can_print(dq: Dq) -> None:
    files = {"a.py": "op(task_id='\\ud800\\x1b[31m\\n', sla=x)\n"}
    assert "\x1b" not in dq(files=files).out
    assert dq("--airflow", "dags", "--json").document["problems"][0]["part"] == "?\x1b[31m\n"


def test_no_file_is_run(dq: Dq, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    dq(files={"a.py": f"open({str(mark)!r}, 'w')\nraise SystemExit(0)\n", "b.py": GOOD})
    assert not mark.exists()


# ------------------------------------------------------------------------------------------------------ folders


def test_folders_below_links_and_things_that_are_no_file(dq: Dq, tmp_path: Path) -> None:
    files = dict.fromkeys(("b/c/d.py", "a.py", ".hidden/x.py", "__pycache__/x.py", "notes.txt"), GOOD)
    (tmp_path / "dags/b").mkdir(parents=True)
    (tmp_path / "dags/b/back").symlink_to(tmp_path / "dags")
    (tmp_path / "dags/gone.py").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "dags/pipe.py")
    (tmp_path / "dags/folder.py").mkdir()
    said = dq(files=files)
    assert [line.split(": ")[1] for line in said.lines] == [
        "dags/a.py:1", "dags/gone.py:1", "dags/pipe.py:1", "dags/b/c/d.py:1",
    ]  # fmt: skip
    assert "it cannot be read: No such file" in said.out and "it is no file that can be read" in said.out


def test_a_name_that_is_no_text(dq: Dq, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    try:
        (tmp_path / os.fsdecode(b"dags/\xff.py")).write_text(GOOD)
    except OSError:
        pytest.skip("this file system has no such names")
    assert dq("--airflow", "dags", "--json").document["problems"][0]["file"] == "dags/\ufffd.py"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(dq: Dq, tmp_path: Path) -> None:
    dq(files={"a.py": GOOD, "b/c.py": GOOD})
    for path in ("dags/a.py", "dags/b"):
        (tmp_path / path).chmod(0)
    said = dq()
    (tmp_path / "dags/b").chmod(0o700)
    assert (said.code, said.out.count("Permission denied")) == (2, 2)


def test_one_file(dq: Dq) -> None:
    said = dq("--airflow", "dags/a.py", files={"a.py": GOOD, "b.py": GOOD})
    assert len(said.lines) == 1 and said.lines[0].startswith("error: dags/a.py:1: ")


def test_a_folder_that_is_not_there(dq: Dq) -> None:
    said = dq("--airflow", "nowhere")
    assert said == Said(2, "", "dq: the folder nowhere cannot be read: No such file or directory\n")


def test_a_folder_without_python_is_told(dq: Dq) -> None:
    said = dq(files={"a.txt": ""})
    assert (said.code, said.out) == (0, "warning: dags: there is no *.py file in it\n")


def test_many_files(dq: Dq) -> None:
    body = "".join(f"op(task_id='t{n}', sla=timedelta(minutes={n + 1}))\n" for n in range(20))
    said = dq(files={f"{n % 10}/dag_{n}.py": f"with DAG('d{n}'):\n  pass\n{body}" for n in range(300)})
    assert len(said.lines) == 6000
    assert said.err == "300 DAG files read: 6000 problems, 0 warnings\n"


# ------------------------------------------------------------------------------------------- with a project, and JSON

TOML = '[datasources.shop]\nurl = "sqlite:///x"\n'
SUITE = (
    "from dq import *\nbad = Suite('bad', Table('shop', 'orders', partition='d'), owner='x',\n"
    "    checks=[Check('c', Rows('a > 0; DROP TABLE t'))])\n"
)


def test_nothing_to_change(dq: Dq) -> None:
    said = dq(files={"a.py": "from airflow.sdk import DAG\nDAG('d')\n"})
    assert said == Said(0, "", "1 DAG file read: 0 problems, 0 warnings\n")


def test_in_a_project_its_declarations_are_told_too(dq: Dq, tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/bad.py").write_text(SUITE)
    (tmp_path / "dq.toml").write_text(TOML)
    said = dq(files={"a.py": GOOD})
    assert [line[:24] for line in said.lines] == ["error: checks/bad.py: su", "error: dags/a.py:1: task"]
    assert said.err == "1 suite and 0 reconciliations loaded, 1 DAG file read: 2 problems, 0 warnings\n"
    assert "DAG" not in dq("--project", ".").out


@pytest.mark.parametrize(("args", "home"), [((), "nowhere"), (("--project", "dags"), None)])
def test_a_project_that_was_asked_for_must_be_there(
    dq: Dq, args: tuple[str, ...], home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is not None:
        monkeypatch.setenv("DQ_HOME", home)
    said = dq("--airflow", "dags", *args, files={"a.py": GOOD})
    assert (said.code, said.out) == (2, "") and "there is no dq.toml" in said.err


def test_the_document(dq: Dq, tmp_path: Path) -> None:
    said = dq("--airflow", "dags", "--json", files={"a.py": "with DAG('d'):\n  op(task_id='t', sla=x)\n"})
    (problem,) = said.document.pop("problems")
    assert {**said.document, "problems": 1} == {
        "exit_code": 2, "suites": 0, "reconciliations": 0, "datasets": 0, "dag_files": 1, "problems": 1,
    }  # fmt: skip
    sentence = problem.pop("sentence")
    assert sentence.startswith("dags/a.py:2: DAG 'd', task 't': sla= does nothing")
    assert problem == {
        "level": "error", "file": "dags/a.py", "line": 2, "kind": "dag", "name": "d", "part": "t", "column": None,
    }  # fmt: skip
    (tmp_path / "dq.toml").write_text(TOML)
    assert set(dq("--json").document) == {"exit_code", "suites", "reconciliations", "datasets", "problems"}


def test_the_dag_files_of_this_repository_are_clean(dq: Dq) -> None:
    said = dq("--airflow", str(ROOT / "dags"))
    assert (said.code, said.out) == (0, "")


def test_the_page_for_people_who_migrate_says_what_is_answered(tmp_path: Path) -> None:
    written = (ROOT / "docs/from-sla.md").read_text(encoding="utf-8")
    assert Reader(tmp_path, {}).walk(written) == written, "python -m tests.walk docs/from-sla.md writes it anew"
