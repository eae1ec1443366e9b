"""Deploy markers: which stand near a loss, where they come from, and what reports and --why say of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dq import By, Reconciliation, Sla, Stage, Table
from dq.deploys import JUST, concerns, near
from dq.model.deploy import Deploy
from dq.model.interval import Interval
from tests.pipelines import D1, D2, D3, Pipeline, running

DAY = Interval.of_day("2026-11-20")
HOUR = timedelta(hours=1)


@pytest.fixture
def pipeline(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Pipeline]:
    with running(make_project, monkeypatch, capsys) as made:
        yield made


def deploy(at: datetime, version: str = "", kind: str = "", subject: str = "") -> Deploy:
    return Deploy(at=at, text="the new parser", version=version, kind=kind, subject=subject)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([], []),
        ([DAY.start - JUST], ["deploy 0 of 2026-11-13 00:00 stands just before"]),
        ([DAY.start - JUST - timedelta(seconds=1)], []),
        ([DAY.start], ["deploy 0 of 2026-11-20 00:00 stands just before"]),
        ([DAY.start - HOUR, DAY.start - 2 * HOUR], ["deploy 0 of 2026-11-19 23:00 stands just before"]),
        ([DAY.start + HOUR], ["deploy 0 of 2026-11-20 01:00 falls in that partition"]),
        ([DAY.end], []),
        (
            [DAY.start + 2 * HOUR, DAY.start - HOUR, DAY.start + HOUR, DAY.end + HOUR],
            [
                "deploy 1 of 2026-11-19 23:00 stands just before",
                "deploy 0 of 2026-11-20 02:00 falls in that partition",
            ],
        ),
    ],
)
def test_which_markers_stand_near(times: list[datetime], said: list[str]) -> None:
    found = near((deploy(at, str(number)) for number, at in enumerate(times)), DAY)
    assert [*map(str, found)] == said


@pytest.mark.parametrize(
    ("kind", "subject", "wanted"),
    [
        ("", "", True),
        ("subject", "pipe", True),
        ("subject", "orders", True),
        ("subject", "users", False),
        ("dag", "load", True),
        ("dag", "nightly", True),
        ("dag", "pipe", False),
        ("dag", "other", False),
    ],
)
def test_what_a_marker_is_about(kind: str, subject: str, *, wanted: bool) -> None:
    table = Table("live", "t", partition="day")
    declared = Reconciliation(
        "pipe",
        by=By("org"),
        stages=[Stage("a", table), Stage("b", table)],
        upstream=["orders"],
        sla=Sla(due="06:00", dag="load"),
    )
    assert concerns(deploy(DAY.start, "1", kind, subject), declared, {"nightly"}) is wanted


def test_how_a_marker_is_called() -> None:
    at = datetime(2026, 11, 19, 14, 2, tzinfo=UTC)
    assert str(deploy(at)) == "deploy the new parser of 2026-11-19 14:02"
    assert str(deploy(at, "2.4.1", "dag", "load")) == "deploy 2.4.1 (DAG load) of 2026-11-19 14:02"
    assert str(deploy(at, "2.4.1", "subject", "orders")) == "deploy 2.4.1 (orders) of 2026-11-19 14:02"
    assert str(Deploy(at=at, text="x" * 99)) == f"deploy {'x' * 59}… of 2026-11-19 14:02"


def test_markers_are_added_once_and_listed_newest_first(pipeline: Pipeline) -> None:
    assert pipeline.dq("deploys", "list", at=D1) == (0, "", "nothing is marked in environment 'ep_test'\n")
    add = ("deploys", "add", "new\tparser", "--version", "2.4.1", "--at", "2024-06-24T16:02+02:00", "--by", "ann")
    assert pipeline.dq(*add) == (0, "", "marked: deploy 2.4.1 of 2024-06-24 14:02\n")
    assert pipeline.dq(*add) == (0, "", "it is marked already: deploy 2.4.1 of 2024-06-24 14:02\n")
    assert pipeline.dq("deploys", "add", "retention", "--dag", "load", "--by", "bob")[0] == 0
    assert pipeline.dq("deploys", "add", "retention", "--subject", "pipe", "--by", "bob")[0] == 0
    _, out, _ = pipeline.dq("deploys", "list", "--json")
    found = json.loads(out)["deploys"]
    assert [(one["at"][:16], one["version"], one["dag"], one["subject"], one["by"]) for one in found] == [
        ("2024-06-25T05:00", None, None, "pipe", "bob"),
        ("2024-06-25T05:00", None, "load", None, "bob"),
        ("2024-06-24T14:02", "2.4.1", None, None, "ann"),
    ]
    assert found[-1]["text"] == "new parser"
    _, out, _ = pipeline.dq("deploys", "list", "--limit", "1")
    assert out.splitlines()[1:] == ["2024-06-25 05:00Z  -        pipe   cli   bob  retention"]
    assert [name for (name,) in pipeline.rows("SELECT name FROM dq_event")] == ["deployed"] * 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", " "), "nothing is marked: give a text"),
        (("add", "x", "--at", "2024-06-25T05:01Z"), "2024-06-25 05:01Z is still to come"),
        (("add", "x", "--at", "2024-06-25"), "is not a time with a zone"),
        (("add", "x", "--subject", "pipo"), "'pipo'"),
        (("add", "x", "--subject", "pipe", "--dag", "d"), "give one of --dag and --subject"),
        (("add", "x", "--dag", ""), "--dag and --subject name something"),
        (("add", "x", "--version", "v" * 121), "the version is longer than 120 characters"),
        (("import-tags", "nowhere"), "git cannot list the tags of nowhere: fatal: cannot change to 'nowhere'"),
    ],
)
def test_what_cannot_be_marked_is_said_in_one_sentence(pipeline: Pipeline, words: tuple[str, ...], said: str) -> None:
    code, out, err = pipeline.dq("deploys", *words, at=D1)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def git(folder: Path, *words: str, at: str = "") -> None:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at} if at else {}
    empty = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "-C", str(folder), *words], check=True, env={**os.environ, **who, **dates, **empty})


def test_tags_of_git_become_markers_with_their_dates_and_only_once(pipeline: Pipeline, tmp_path: Path) -> None:
    repository = tmp_path / "loader"
    repository.mkdir()
    git(repository, "init", "-q")
    git(repository, "commit", "-q", "--allow-empty", "-m", "first", at="2024-06-20T10:00:00+02:00")
    git(repository, "tag", "v1")
    git(repository, "tag", "-a", "v2", "-m", "a new <parser>\n\nmore", at="2024-06-21T12:00:00+02:00")
    git(repository, "tag", "-a", "later", "-m", "x", at="2024-07-21T12:00:00+02:00")
    words = ("deploys", "import-tags", str(repository), "--dag", "load", "--by", "ann")
    code, _, said = pipeline.dq(*words, at=D1)
    assert (code, said.splitlines()[-1]) == (0, "2 tags, 2 of them new")
    assert pipeline.dq(*words)[2] == "2 tags, 0 of them new\n"
    assert pipeline.dq(*words, "--match", "v1", at=D1)[2] == "1 tag, 0 of them new\n"
    rows = pipeline.rows("SELECT at, version, text, kind, subject, source FROM dq_deploy ORDER BY at")
    assert [(str(at)[:16], *rest) for at, *rest in rows] == [
        ("2024-06-20 08:00", "v1", "first", "dag", "load", "git"),
        ("2024-06-21 10:00", "v2", "a new <parser>", "dag", "load", "git"),
    ]


def test_without_git_it_says_so(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, said = pipeline.dq("deploys", "import-tags", at=D1)
    assert (code, said) == (2, "dq: git is not installed here, or not on the PATH; `dq deploys add` needs none\n")


def test_a_deployment_that_is_announced_as_a_change_event_is_a_marker(pipeline: Pipeline) -> None:
    assert pipeline.dq("announce", "loader 1.4.2", "--to", "deploys", "--subject", "pipe")[0] == 0
    assert pipeline.dq("announce", "loader 1.4.3", "--to", "deploys", "--to", "team")[0] == 0
    assert pipeline.dq("announce", "a party", "--to", "team")[0] == 0
    assert pipeline.rows("SELECT text, kind, subject, source FROM dq_deploy ORDER BY id") == [
        ("loader 1.4.2", "subject", "pipe", "announce"),
        ("loader 1.4.3", "", "", "announce"),
    ]


def test_the_report_says_since_when_and_what_stands_just_before(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (100, 100, 100), "2": (50, 49, 50)})
    for day in (D2, D3):
        pipeline.load(day, {"14": (100, 80, 100), "2": (50, 49, 50), "<b>": (9, 9, 9)})
    pipeline.reconcile(D1)
    pipeline.dq("deploys", "add", "x", "--version", "2.4.1", "--at", "2024-06-24T14:02Z")
    pipeline.dq("deploys", "add", "x", "--version", "<i>", "--at", "2024-06-25T09:00Z", at=D2)
    pipeline.dq("deploys", "add", "other", "--dag", "other", "--at", "2024-06-24T20:00Z")
    pipeline.dq("deploys", "add", "late", "--at", "2024-06-26T09:00Z", at=D3)
    pipeline.reconcile(D2)
    pipeline.reconcile(D3)
    facts = (
        "Database: org 14 (20 missing) since 2024-06-25, in 2 of 3 orgs; deploy 2.4.1 of 2024-06-24 14:02 stands just"
        " before; deploy <i> of 2024-06-25 09:00 falls in that partition"
    )
    _, out, _ = pipeline.dq("report", "pipe", at=D3)
    assert f"Since when: - {facts}" in " ".join(out.split())
    mail = pipeline.receivers.smtp.messages[-1]
    html = mail.get_body(("html",)).get_content()
    assert facts.replace("<i>", "&lt;i&gt;") in html
    pipeline.load(D3, {"14": (100, 120, 100)})
    pipeline.reconcile(D3)
    _, out, _ = pipeline.dq("report", "pipe", at=D3)
    assert "Database: org 14 (20 too many) since 2024-06-26, in 1 of 1 orgs; deploy" in " ".join(out.split()), (
        "too many is another thing than missing"
    )


def test_where_nobody_measured_before_the_report_does_not_say_that_it_began(pipeline: Pipeline) -> None:
    pipeline.load(D3, {"14": (100, 80, 100)})
    pipeline.reconcile(D3)
    _, out, _ = pipeline.dq("report", "pipe")
    assert "org 14 (20 missing) seen since 2024-06-26, the partition before was not measured" in " ".join(out.split())
    for number in range(1, 15):
        day = Interval(D3.start - timedelta(days=number), D3.end - timedelta(days=number))
        pipeline.load(day, {"14": (100, 80, 100)})
        pipeline.reconcile(day)
    pipeline.dq("deploys", "add", "x", "--at", "2024-06-11T14:02Z", at=D3)
    _, out, _ = pipeline.dq("report", "pipe")
    assert "org 14 (20 missing) since 2024-06-12 or longer, in 1 of 1 orgs" in " ".join(out.split())
    assert "just before" not in " ".join(out.split())


def test_why_names_the_marker_before_the_first_day(pipeline: Pipeline) -> None:
    days = [Interval(D3.start - timedelta(days=n), D3.end - timedelta(days=n)) for n in range(4)]
    for number, day in enumerate(days):
        pipeline.load(day, {"14": (100, 80 if number < 2 else 100, 100), "2": (50, 40, 50)})
    pipeline.dq("deploys", "add", "x", "--version", "2.4.1", "--at", "2024-06-24T14:02Z", at=D3)
    words = ("reconcile", "pipe", "--date", str(D3), "--why", "--no-store")
    _, out, _ = pipeline.dq(*words, "--json", at=D3)
    why = {one["org"]["org"]: one for one in json.loads(out)["why"]}
    assert why["14"]["since"]["start"][:10] == "2024-06-25"
    assert [(one["version"], one["inside"]) for one in why["14"]["deploys"]] == [("2.4.1", False)]
    assert (why["2"]["since"]["start"][:10], why["2"]["or_longer"], why["2"]["deploys"]) == ("2024-06-23", True, [])
    _, out, _ = pipeline.dq(*words, at=D3)
    said = [" ".join(line.split()) for line in out.splitlines()]
    assert "org hop records became since orgs changed" in said
    before = "deploy 2.4.1 of 2024-06-24 14:02 stands just before"
    assert f"14 collected to db 20 missing missing 2024-06-25 all 2 {before}" in said
    assert "2 collected to db 10 missing missing 2024-06-23 or longer all 2" in said
