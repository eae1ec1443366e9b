"""The message of a reconciliation that ended badly, at real receivers: one group per run, and no harmful text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dq import app
from dq.alerting.steps import Ended, Step
from dq.model.interval import Interval
from tests.pipelines import D1, D2, PIPE, Pipeline, running

SAMPLE = 'ValueError: <!channel> & <b>no</b> "country" *x* `y`'
ESCAPED = 'ValueError: &lt;!channel&gt; &amp; &lt;b&gt;no&lt;/b&gt; "country" *x* `y`'
LOST = """explained=[Explained("DLQs", sample="error", critical=0, stages=["nrt"],
    counted=Stage("dead", table("dead")))], critical=0"""


@pytest.fixture
def pipeline(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Pipeline]:
    with running(make_project, monkeypatch, capsys) as made:
        (made.root / "reports" / "pipe.py").write_text(PIPE.replace("error=0", LOST))
        with sqlite3.connect(made.root / "live.sqlite") as live:
            live.execute("CREATE TABLE dead (day TEXT, org TEXT, error TEXT)")
        live.close()
        yield made


def fail_with(pipeline: Pipeline, error: str) -> None:
    with sqlite3.connect(pipeline.root / "live.sqlite") as live:
        live.execute("INSERT INTO dead VALUES (?, '2', ?)", (str(D1), error))
    live.close()


def test_a_known_loss_is_told_with_a_sample_that_each_channel_writes_safely(pipeline: Pipeline) -> None:
    fail_with(pipeline, f"{SAMPLE}\nBcc: all@example.org")
    pipeline.load(D1, {"2": (50, 50, 49)})
    pipeline.reconcile(D1)
    told = pipeline.receivers
    title = f"EP_TEST - pipe: completed with 1 DLQs: {SAMPLE}"
    (post,) = told.slack.posts
    assert post["text"].splitlines()[0].endswith(f"EP_TEST - pipe: completed with 1 DLQs: {ESCAPED}")
    header, *others = post["blocks"]
    assert (header["text"]["type"], header["text"]["text"].partition(" ")[2]) == ("plain_text", title)
    assert SAMPLE not in json.dumps(others, ensure_ascii=False)
    assert "<!channel>" not in json.dumps(others)
    (event,) = told.pagerduty.events
    assert event["payload"]["summary"] == title
    (alert,) = told.victorops.events
    assert alert["entity_display_name"] == title
    (mail,) = [one for one in told.smtp.messages if "DLQs" in one["Subject"]]
    assert mail["Subject"].endswith(f"pipe: completed with 1 DLQs: {SAMPLE}")
    assert mail["Bcc"] is None
    html = mail.get_body(("html",)).get_content()
    assert "<b>no</b>" not in html
    assert "&lt;b&gt;no&lt;/b&gt;" in html


def test_a_run_is_one_group_whatever_is_wrong_and_the_next_good_one_ends_it(pipeline: Pipeline) -> None:
    fail_with(pipeline, "KeyError: 'zone'")
    pipeline.load(D1, {f"{n}": (50, 50 - n, 40) for n in range(15)} | {"90": (5, 5, 5)})
    pipeline.reconcile(D1)
    told = pipeline.receivers
    title = "EP_TEST - pipe: Completed with High Discrepancies: 2 stages differ; 1 DLQs: KeyError: 'zone'"
    (post,) = told.slack.posts
    assert post["text"].splitlines()[0].partition(" ")[2] == title
    fields = [field["text"] for block in post["blocks"] for field in block.get("fields", ())]
    (orgs,) = [text.partition("\n")[2] for text in fields if text.startswith("*Orgs*")]
    assert orgs == "14, 13, 12, 11, 10, 9, 8, 7, 6, 5 and 5 others", "the worst first"
    assert [event["event_action"] for event in told.pagerduty.events] == ["trigger"]
    assert told.pagerduty.open_keys == told.victorops.open_keys == {"ep_test/reconciliation/pipe"}
    assert len(pipeline.open) == 14 + 15 + 1
    pipeline.load(D2, {f"{n}": (50, 50, 50) for n in range(15)})
    pipeline.reconcile(D2)
    assert told.pagerduty.open_keys == told.victorops.open_keys == set()
    assert [event["event_action"] for event in told.pagerduty.events] == ["trigger", "resolve"]
    assert len(told.slack.posts) == 2


def test_the_message_that_a_pipeline_ended_says_with_what(pipeline: Pipeline) -> None:
    """It goes to channels by name; the incidents of the same run go by the routes."""

    def ended(day: Interval, run: str, *, good: bool = True) -> tuple[str, dict[str, str]]:
        app.run(project, "pipe", day, origin=f"airflow:load:{run}", now=day.end, alert=False)
        made = Ended(dag="load", run=run, good=good, steps=(Step(name="x", state="finished" if good else "failed"),))
        assert app.tell_ended(project, made, to=["team"]) == 1
        assert app.tell_ended(project, made, to=["team"]) == 0
        app.pump(project)
        post = pipeline.receivers.slack.posts[-1]
        fields = [field["text"] for block in post["blocks"] for field in block.get("fields", ())]
        title = post["blocks"][0]["text"]["text"].partition(" ")[2]
        return title, dict(text.split("\n", 1) for text in fields)  # type: ignore[misc]  # two words each

    project = app.open_project(pipeline.root)
    pipeline.load(D1, {f"{n}": (50, 50 - n, 50) for n in range(8)})
    title, facts = ended(D1, "r1")
    assert title == "EP_TEST - DAG load: pipeline completed with High Discrepancies"
    assert facts["*pipe*"] == "db: org 7 (7), org 6 (6), org 5 (5), org 4 (4), org 3 (3) and 2 more"
    title, facts = ended(D1, "r2", good=False)
    assert title == "EP_TEST - DAG load: pipeline failed at 1/1 x"
    assert "*pipe*" in facts
    pipeline.load(D1, {"2": (50, 50, 49)})
    fail_with(pipeline, SAMPLE)
    title, facts = ended(D1, "r1")
    assert title == f"EP_TEST - DAG load: pipeline completed with 1 DLQs: {SAMPLE}", "it was run again"
    assert facts["*pipe*"] == f"1 DLQs: {ESCAPED}"
    pipeline.load(D2, {"2": (50, 50, 50)})
    title, facts = ended(D2, "r3")
    assert (title, "*pipe*" in facts) == ("EP_TEST - DAG load: pipeline completed", False)
    pipeline.load(D2, {"2": (50, 50, 0)})
    title, facts = ended(D2, "r4")
    assert (title, facts["*pipe*"]) == (
        "EP_TEST - DAG load: pipeline completed",
        "nrt: no rows at nrt, while collected has 50",
    )


def test_one_stage_is_named_with_how_many_orgs_differ(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"1": (50, 10, 50), "2": (50, 49, 50), "3": (50, 50, 50)})
    pipeline.reconcile(D1)
    assert pipeline.told[0].endswith("EP_TEST - pipe: Completed with High Discrepancies: db differs for 2 orgs of 3")


def test_a_run_that_could_not_be_measured_is_not_said_to_be_completed(pipeline: Pipeline) -> None:
    pipeline.load(D1, {"1": (50, 10, 0)})
    pipeline.reconcile(D1)
    assert pipeline.told[0].endswith("EP_TEST - pipe: 1 stage has no data, 1 stage differs")
