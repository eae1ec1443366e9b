"""Accepted discrepancies end to end: what is judged, told, noted and stored, and what the commands answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dq.model.interval import Interval
from tests.pipelines import D1, D2, D3, Pipeline, running

ADD = ("accept", "add", "pipe", "--org", "14", "--until", "2024-07-31", "--reason", "collector restarts", "--by", "ann")
UNTIL = "until 2024-07-31 by ann: collector restarts"


@pytest.fixture
def pipeline(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Pipeline]:
    with running(make_project, monkeypatch, capsys) as made:
        yield made


def events(pipeline: Pipeline) -> list[tuple[str, str, str | None]]:
    found = pipeline.rows("SELECT name, body FROM dq_event WHERE name LIKE 'acceptance%' ORDER BY id")
    return [(name, (body := json.loads(text))["at_most"], body["ended"]) for name, text in found]


def test_what_is_accepted_is_a_note_and_raises_nothing_and_what_is_open_ends(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000), "2": (50, 50, 50)})
    assert pipeline.reconcile(D1)["exit_code"] == 1
    assert pipeline.open == [("db", '["14"]')]
    code, _, said = pipeline.dq(*ADD)
    assert code == 0
    assert said.splitlines() == [
        f"acceptance 1: org 14 of pipe is accepted at db {UNTIL} (at most 120 records)",
        "  in the run of 2024-06-24 120 of 1000 are missing: judged as well from the next run on",
        "  the incident that is open ends when the next run is closed",
        "  more than that is judged as if nothing was accepted; after a run that finds less, only so much is accepted",
    ]
    pipeline.load(D2, {"14": (1000, 880, 1000), "2": (50, 50, 50)})
    document = pipeline.reconcile(D2)
    assert document["exit_code"] == 0
    (row,) = [row for row in document["ledger"]["rows"] if row["org"]["org"] == "14"]
    assert (row["severity"], row["accepted"]) == (None, True)
    assert row["notes"] == [f"accepted at Database {UNTIL} (at most 120 records)"]
    sentences = {one["check"]: one["sentence"] for one in document["results"] if one["group"] is None}
    assert sentences["db"] == "all 1 orgs agree at Database; 1 differs as is accepted"
    assert pipeline.open == []
    assert pipeline.told[-1] == "\N{WHITE HEAVY CHECK MARK} EP_TEST - pipe: db is accepted after 1d - resolved"
    assert f"db (org 14): accepted {UNTIL}" in json.dumps(pipeline.receivers.slack.posts[-1])
    mail = pipeline.receivers.smtp.messages[-1]
    assert "all 2 orgs within tolerance or accepted, 1 differs" in mail["Subject"]
    plain = " ".join(mail.get_body(("plain",)).get_content().split())
    assert f"- 14: accepted at Database {UNTIL} (at most 120 records)" in plain
    assert f"accepted at Database {UNTIL} (at most 120 records)" in mail.get_body(("html",)).get_content()
    assert events(pipeline) == [("acceptance_added", "at most 120 records", None)]


def test_more_than_is_accepted_or_the_other_way_is_judged_as_if_nothing_was(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD)
    for counts, sentence in (((1000, 879, 1000), "121 of 1000 missing"), ((1000, 1001, 1000), "1 of 1000 too many")):
        pipeline.load(D2, {"14": counts})
        document = pipeline.reconcile(D2)
        assert document["exit_code"] == 1
        (bad,) = [one for one in document["results"] if one["group"] and one["check"] == "db"]
        assert (bad["outcome"], bad["severity"]) == ("fail", "error")
        assert bad["sentence"].startswith(sentence)
        (row,) = document["ledger"]["rows"]
        assert row["accepted"] is False
        assert f"more than is accepted at Database {UNTIL} (at most 120 records)" in row["notes"]


def test_it_shrinks_to_what_is_found_never_grows_and_is_used_up(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD)
    pipeline.load(D2, {"14": (1000, 900, 1000)})
    assert pipeline.reconcile(D2)["exit_code"] == 0
    assert pipeline.rows("SELECT at_most FROM dq_acceptance") == [("100",)]
    pipeline.load(D2, {"14": (1000, 880, 1000)})
    assert pipeline.reconcile(D2)["exit_code"] == 1, "120 were accepted once, and no longer"
    pipeline.load(D1, {"14": (1000, 1000, 1000)})
    assert pipeline.reconcile(D1)["exit_code"] == 0
    assert pipeline.rows("SELECT at_most FROM dq_acceptance") == [("100",)], "a back-fill says nothing of now"
    pipeline.load(D3, {"14": (0, 0, 5), "2": (3, 3, 3)})
    pipeline.reconcile(D3)
    assert pipeline.rows("SELECT ended FROM dq_acceptance") == [(None,)], "no records are no proof"
    pipeline.load(D3, {"14": (1000, 1000, 1000)})
    pipeline.reconcile(D3)
    assert pipeline.rows("SELECT ended FROM dq_acceptance") == [("used up",)]
    pipeline.load(D3, {"14": (1000, 999, 1000)})
    assert pipeline.reconcile(D3)["exit_code"] == 1
    assert events(pipeline) == [
        ("acceptance_added", "at most 120 records", None),
        ("acceptance_shrunk", "at most 100 records", None),
        ("acceptance_ended", "at most 100 records", "used up"),
    ]


def test_a_share_shrinks_as_a_share(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD, "--stage", "db", "--at-most", "20%")
    pipeline.load(D2, {"14": (3000, 2700, 3000)})
    assert pipeline.notes(D2)["14"].endswith("(at most 20 % of the baseline)")
    assert pipeline.rows("SELECT at_most, is_share FROM dq_acceptance") == [("1/10", 1)]
    pipeline.load(D3, {"14": (100, 89, 100)})
    assert "more than is accepted" in pipeline.notes(D3)["14"]
    assert pipeline.rows("SELECT at_most FROM dq_acceptance") == [("1/10",)]


def test_of_one_partition_only(pipeline: Pipeline) -> None:
    for day in (D1, D2):
        pipeline.load(day, {"14": (1000, 880, 1000)})
        pipeline.reconcile(day)
    code, _, said = pipeline.dq(*ADD, "--date", str(D1))
    assert (code, "org 14 of pipe in 2024-06-24 is accepted at db" in said) == (0, True)
    assert pipeline.reconcile(D1)["exit_code"] == 1, "as it was judged before anybody accepted it"
    assert pipeline.reconcile(D1, at=D2)["exit_code"] == 0
    assert pipeline.reconcile(D2)["exit_code"] == 1
    assert "accepted" not in pipeline.notes(D2)["14"]


def test_runs_of_other_partitions_leave_it_as_it_is(pipeline: Pipeline) -> None:
    for day, stored in ((D1, 880), (D2, 700)):
        pipeline.load(day, {"14": (1000, stored, 1000)})
        pipeline.reconcile(day)
    pipeline.dq(*ADD, "--date", str(D1))
    pipeline.reconcile(D2)
    pipeline.load(D1, {"14": (1000, 950, 1000)})
    pipeline.reconcile(D1, at=D2)
    assert pipeline.rows("SELECT at_most FROM dq_acceptance") == [("50",)], "its own partition was run again"


def test_a_run_that_found_more_makes_older_partitions_say_nothing_of_now(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD)
    for day, stored in ((D3, 700), (D2, 950)):
        pipeline.load(day, {"14": (1000, stored, 1000)})
        pipeline.reconcile(day)
    assert pipeline.rows("SELECT at_most FROM dq_acceptance") == [("120",)]


def test_an_org_that_is_too_small_to_be_judged_leaves_it_as_it_is(pipeline: Pipeline) -> None:
    declared = pipeline.root / "reports" / "pipe.py"
    declared.write_text(declared.read_text().replace('by="org"', 'by=By("org", min_rows=100)'))
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD)
    pipeline.load(D2, {"14": (10, 9, 10)})
    assert "not judged: fewer than 100 records" in pipeline.notes(D2)["14"]
    assert pipeline.rows("SELECT at_most FROM dq_acceptance") == [("120",)]
    assert pipeline.open == [("db", '["14"]')], "nothing was said of it"


def test_a_coarser_level_has_acceptances_of_its_own(pipeline: Pipeline) -> None:
    declared = pipeline.root / "reports" / "pipe.py"
    declared.write_text(declared.read_text().replace("error=0", "error=0, levels=[Level()]"))
    pipeline.load(D1, {"14": (1000, 880, 1000), "2": (50, 50, 50)})
    pipeline.reconcile(D1)
    assert pipeline.open == [("db", '["14"]'), ("db of all", '["all"]')]
    pipeline.dq(*ADD)
    pipeline.load(D2, {"14": (1000, 880, 1000), "2": (50, 50, 50)})
    assert pipeline.reconcile(D2)["exit_code"] == 1
    assert pipeline.open == [("db of all", '["all"]')]
    code, _, said = pipeline.dq(*ADD, "--org", "all", "--stage", "db of all")
    assert code == 0
    assert f"acceptance 2: org all of pipe is accepted at db of all {UNTIL} (at most 120 records)" in said
    assert "120 of 1050 are missing: judged as well" in said
    pipeline.load(D3, {"14": (1000, 900, 1000), "2": (50, 50, 50)})
    assert pipeline.reconcile(D3)["exit_code"] == 0
    assert pipeline.open == []
    assert pipeline.rows("SELECT at_most FROM dq_acceptance ORDER BY id") == [("100",), ("100",)]
    code, _, said = pipeline.dq(*ADD, "--org", "none", "--stage", "db of all")
    assert (code, "has no org 'none'; known are all" in said) == (2, True)
    code, _, said = pipeline.dq(*ADD, "--stage", "nrt of")
    assert (code, "known are db, nrt, db of all, nrt of all" in said) == (2, True)


def test_it_expires_and_a_note_says_so_for_a_week(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD, "--until", str(D2))
    pipeline.load(D2, {"14": (1000, 880, 1000)})
    document = pipeline.reconcile(D2)
    assert document["exit_code"] == 1
    note = f"no longer accepted at Database since {D3} (ann: collector restarts; at most 120 records)"
    assert note in document["ledger"]["rows"][0]["notes"]
    assert pipeline.rows("SELECT ended FROM dq_acceptance") == [("expired",)]
    assert events(pipeline)[-1] == ("acceptance_ended", "at most 120 records", "expired")
    later = Interval(D3.start + timedelta(days=7), D3.end + timedelta(days=7))
    pipeline.load(later, {"14": (1000, 880, 1000)})
    assert "accepted" not in pipeline.notes(later)["14"]


def test_what_was_ended_is_judged_again_and_a_new_one_takes_the_place_of_the_old(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 700), "2": (10, 9, 10)})
    pipeline.reconcile(D1)
    _, _, said = pipeline.dq(*ADD)
    assert [line.partition(" until")[0] for line in said.splitlines() if line.startswith("acc")] == [
        "acceptance 1: org 14 of pipe is accepted at db",
        "acceptance 2: org 14 of pipe is accepted at nrt",
    ]
    code, _, said = pipeline.dq(*ADD, "--stage", "db", "--at-most", "50")
    assert code == 0
    assert "  it takes the place of acceptance 1 (at most 120 records)" in said
    assert "120 of 1000 are missing: MORE than that, so it is judged as before" in said
    code, out, _ = pipeline.dq("accept", "list", "--all", "--json")
    assert [(one["id"], one["state"], one["stage"], one["at_most"]) for one in json.loads(out)["acceptances"]] == [
        (1, "replaced", "db", 120),
        (2, "holds", "nrt", 300),
        (3, "holds", "db", 50),
    ]
    code, out, _ = pipeline.dq("accept", "list")
    assert [line.split()[:5] for line in out.splitlines()[1:]] == [
        ["2", "holds", "pipe", "14", "nrt"],
        ["3", "holds", "pipe", "14", "db"],
    ]
    assert "at most 300 records  2024-07-31  ann  collector restarts" in out
    assert pipeline.dq("accept", "end", "2", "--by", "bob")[0] == 0
    code, _, said = pipeline.dq("accept", "end", "2")
    assert (code, said) == (2, "dq: there is no acceptance 2 that holds; `dq accept list` lists them\n")
    document = pipeline.reconcile(D1)
    assert {one["check"] for one in document["results"] if one["severity"]} == {"db", "nrt"}
    assert events(pipeline)[-1][::2] == ("acceptance_ended", "ended")


def test_what_could_not_be_measured_or_has_no_data_is_never_accepted_away(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD, "--at-most", "100000")
    pipeline.load(D2, {"14": (1000, 0, 1000)})
    document = pipeline.reconcile(D2)
    (row,) = document["ledger"]["rows"]
    assert (row["severity"], row["accepted"], row["notes"]) == (None, False, ["absent at Database"])
    found = {one["check"]: one for one in document["results"] if one["group"] is None}
    assert (found["db"]["outcome"], found["db"]["severity"]) == ("no_data", "error")
    declared = pipeline.root / "reports" / "pipe.py"
    whole = declared.read_text()
    declared.write_text(whole.replace('Stage("db", table("db")', 'Stage("db", table("gone")'))
    found = {one["check"]: one for one in pipeline.reconcile(D2)["results"] if one["group"] is None}
    assert (found["db"]["outcome"], found["db"]["severity"]) == ("unmeasured", "error")
    declared.write_text(whole.replace('by="org"', 'by=By("org", expected=["14"])'))
    pipeline.load(D2, {"2": (3, 3, 3)})
    (bad,) = [one for one in pipeline.reconcile(D2)["results"] if one["group"] and one["check"] == "db"]
    assert (bad["outcome"], bad["severity"]) == ("no_data", "error")
    assert pipeline.rows("SELECT DISTINCT at_most, ended FROM dq_acceptance") == [("100000", None)]


def test_days_that_are_looked_back_at_are_judged_alike_and_shrink_nothing(pipeline: Pipeline) -> None:
    for day, stored in ((D1, 880), (D2, 900)):
        pipeline.load(day, {"14": (1000, stored, 1000)})
    pipeline.reconcile(D1)
    pipeline.dq(*ADD)
    words = ("reconcile", "pipe", "--from", str(D1), "--to", str(D2), "--json")
    code, out, _ = pipeline.dq(*words, at=D2)
    assert (code, [row["accepted"] for row in json.loads(out)["ledger"]["rows"]]) == (0, [True, True])
    assert pipeline.rows("SELECT at_most FROM dq_acceptance") == [("120",)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--org", "15"), "the run of 2024-06-24 has no org '15'; known are 14, 2"),
        (("--org", "2"), "org '2' does not differ in the run of 2024-06-24: there is nothing to accept"),
        (("--stage", "nrt"), "org '14' does not differ at nrt in the run of 2024-06-24: there is nothing to accept"),
        (("--stage", "dbb"), "no stage 'dbb' is held against collected; did you mean 'db'? known are db, nrt"),
        (("--until", "2024-06-23"), "it would be over already: 2024-06-23 has ended"),
        (("--until", "soon"), "'soon' is not a date"),
        (("--date", "2024-06-20"), "there is no stored run of 'pipe' for 2024-06-20 in environment 'ep_test'"),
        (("--at-most", "0"), "'0' accepts nothing"),
        (("--at-most", "a lot"), "'a lot' is no number of records and no share; write it like 120, 1.5% or -120"),
        (("--reason", " "), "an acceptance needs a reason"),
        (("--by", " "), "say who you are"),
    ],
)
def test_what_cannot_be_accepted_is_said_in_one_sentence(pipeline: Pipeline, words: tuple[str, ...], said: str) -> None:
    pipeline.load(D1, {"14": (1000, 880, 1000), "2": (5, 5, 5)})
    pipeline.reconcile(D1)
    code, out, err = pipeline.dq(*ADD, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert pipeline.rows("SELECT count(*) FROM dq_acceptance") == [(0,)]


def test_on_an_empty_store_it_must_be_said_how_much(pipeline: Pipeline) -> None:
    code, _, err = pipeline.dq(*ADD, at=D1)
    assert code == 2
    assert "there is no stored run of 'pipe' in environment 'ep_test'; run `dq reconcile pipe` first" in err
    code, _, err = pipeline.dq(*ADD, "--at-most", "120", "--stage", "db")
    assert (code, "no stored run has measured org 14 there" in err) == (0, True)
    pipeline.load(D1, {"14": (1000, 880, 1000)})
    assert pipeline.reconcile(D1, "--no-store")["exit_code"] == 1, "without the store nobody knows"
    assert pipeline.reconcile(D1)["exit_code"] == 0
    assert pipeline.dq("accept", "list", "--project", str(pipeline.root))[0] == 0
    assert pipeline.dq("accept", "end", "7") == (
        2, "", "dq: there is no acceptance 7 that holds; `dq accept list` lists them\n"
    )  # fmt: skip
