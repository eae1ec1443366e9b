"""The discrepancy e-mails as they arrive: what is attached, how they thread, and who gets what of whom."""

from __future__ import annotations

import base64
import csv
import email
import email.policy
import gzip
import io
import json
import random
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import attrs
import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import Engine

from dq import By, Reconciliation, Stage, Table, app
from dq import ledger as counting
from dq.alerting.config import parse_alerting
from dq.alerting.outbox import enqueue_event, open_channels
from dq.alerting.pump import pump
from dq.app import measuring
from dq.cli import main
from dq.model.errors import DeclarationError
from dq.model.interval import Interval
from dq.model.ledger import KnownLoss, Ledger, LedgerRow
from dq.model.message import Attachment
from dq.reports.attachment import attachment, csv_bytes
from dq.store.schema import attachment as attachments
from dq.store.schema import outbox
from tests import samples
from tests.ledgers import agari, ledger, row
from tests.pipelines import rows_of
from tests.receivers import Receivers

pytest_plugins = ["tests.stores"]

# Names that are in nothing else that a mail says, so that one found is one told.
ANN1, ANN2, BOB, CAT, DAN, GONE, LOST = (
    f"qz{n}-{word}" for n, word in enumerate(("amber", "birch", "cedar", "dahlia", "elder", "fern", "gorse"), 70)
)
ORGS = (ANN1, ANN2, BOB, CAT, DAN, GONE, LOST)
D1, D2 = (Interval.of_day(f"2024-06-{day}") for day in (24, 25))
TOML = """
environment = "ep_test"
[store]
url = "sqlite:///var/store.sqlite"
[datasources.collector]
url = "sqlite:///collector.sqlite"
[datasources.shop]
url = "sqlite:///shop.sqlite"
"""
DECLARED = f"""
from dq import *
pipe = Reconciliation(
    "pipe", pipeline="orders to invoices", owner="ops", sla=Sla(due="06:00", on_time="90%"),
    by=By("org", expected=["{GONE}", "{LOST}"],
          owners={{"{ANN1}": "ann", "{ANN2}": "ann", "{BOB}": "bob", "{GONE}": "eve"}}),
    stages=[
        Stage("orders", Table("collector", "orders", partition="day"), title="Orders"),
        Stage("billed", Table("shop", "invoices", partition="day"), title="Invoices"),
        Stage("people", Table("shop", "invoices", partition="day"), title="People", measure="count(distinct person)",
              MAPPING),
    ],
    explained=[Explained("Rejected", counted=Stage("rejects", Table("shop", "rejects", partition="day")),
                         sample="why", warning=0)],
    totals=[Total("all orders", sum_of="orders"),
            Total("turnover", datasource="shop", query="SELECT 987654321")],
    notes={{{", ".join(f'"{org}": "note on {org}"' for org in ORGS)}}},
    warning="1%", critical="50%",
    to=["mail", "boss"], MAILS
)
"""
MAILS = f"""to_owners={{"ann": "mail-ann", "bob": ["mail-bob"], "eve": "mail-eve", "ops": "mail-ops"}},
    to_orgs={{"{CAT}": "mail-cat", "{DAN}": "mail-dan", "{LOST}": "mail-lost"}}"""
CLASH = f"""mapping={{"{ANN2}": "{ANN1}"}}"""
"""Makes a stage that cannot be counted, for a reason that names an org."""


def route(name: str, address: str) -> str:
    return f"""
[channels.{name}]
type = "email"
host = "127.0.0.1"
port = "env:SMTP_PORT"
from = "dq@example.org"
to = ["{address}"]
"""


NAMES = ("mail", "boss", "mail-ann", "mail-bob", "mail-eve", "mail-ops", "mail-cat", "mail-dan", "mail-lost")
ROUTES = "".join(route(name, f"{name.removeprefix('mail-')}@example.org") for name in NAMES) + (
    '[channels.quiet]\ntype = "email"\nhost = "127.0.0.1"\nport = "env:SMTP_PORT"\nfrom = "dq@example.org"\n'
    'to = ["quiet@example.org"]\n[route]\nchannels = ["quiet"]\n'
)


class World:
    """A project of two databases and its mail server."""

    def __init__(self, root: Path, receivers: Receivers) -> None:
        self.root = root
        self.smtp = receivers.smtp

    def declare(self, mails: str = MAILS, mapping: str = "", levels: str = "") -> None:
        """Declare it; with levels every stage counts what can be added up."""
        text = DECLARED.replace("MAILS", mails).replace("MAPPING", mapping or "compare=False")
        if levels:
            text = text.replace("count(distinct person)", "count(*)").replace("totals=", f"levels={levels}, totals=")
        file = self.root / "reports" / "pipe.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def load(self, day: Interval, orders: Mapping[str, int], lost: Mapping[str, int] = {}, rejected: str = "") -> None:
        """Fill a day: so many orders per org, of which so many have no invoice."""
        with closing(sqlite3.connect(self.root / "collector.sqlite")) as collector, collector:
            collector.execute("CREATE TABLE IF NOT EXISTS orders (day TEXT, org TEXT)")
            collector.execute("DELETE FROM orders WHERE day = ?", (str(day),))
            rows = [(str(day), org) for org, count in orders.items() for _ in range(count)]
            collector.executemany("INSERT INTO orders VALUES (?, ?)", rows)
        with closing(sqlite3.connect(self.root / "shop.sqlite")) as shop, shop:
            shop.execute("CREATE TABLE IF NOT EXISTS invoices (day TEXT, org TEXT, person INT)")
            shop.execute("CREATE TABLE IF NOT EXISTS rejects (day TEXT, org TEXT, why TEXT)")
            for table in ("invoices", "rejects"):
                shop.execute(f"DELETE FROM {table} WHERE day = ?", (str(day),))
            rows = [(str(day), org, n) for org, count in orders.items() for n in range(count - lost.get(org, 0))]
            shop.executemany("INSERT INTO invoices VALUES (?, ?, ?)", rows)
            if rejected:
                shop.execute("INSERT INTO rejects VALUES (?, ?, ?)", (str(day), rejected, f"Error: no {rejected}"))

    def run(self, day: Interval, hour: int = 5, **settings: bool) -> None:
        app.run(app.open_project(self.root), "pipe", day, now=day.end + timedelta(hours=hour), **settings)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return rows_of(self.root, sql)

    def mails(self) -> dict[str, list[EmailMessage]]:
        """Return the discrepancy mails by recipient, in the order in which they came."""
        found: dict[str, list[EmailMessage]] = {}
        for mail in self.smtp.messages:
            found.setdefault(mail["To"].addresses[0].username, []).append(mail)
        found.pop("quiet", None)  # alerts
        return found


@pytest.fixture
def world(make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    root = make_project(TOML, {"alerting/routes.toml": ROUTES})
    with Receivers() as receivers:
        monkeypatch.setenv("SMTP_PORT", str(receivers.smtp.port))
        made = World(root, receivers)
        made.declare()
        yield made


def everything(mail: EmailMessage) -> str:
    """Return all that a mail holds: its headers, as sent and decoded, and each part, decoded and unpacked."""
    said = [str(value) for value in mail.values()]
    for part in mail.walk():
        said += [str(value) for value in part.values()]
        if part.is_multipart():
            continue
        content = part.get_content()
        if part.get_content_type() == "application/gzip":
            content = gzip.decompress(content).decode()
        if part.get_content_type() != "image/png":  # nobody can search it, so see who gets one
            said.append(content)
    return "\n".join([*said, mail.as_string()])


def table_of(mail: EmailMessage) -> list[dict[str, str]]:
    """Return the rows of the CSV that is attached."""
    (file,) = mail.iter_attachments()
    assert file.get_content_type() == "application/gzip"
    return list(csv.DictReader(io.StringIO(gzip.decompress(file.get_content()).decode(), newline="")))


TROUBLE = {ANN1: 3, BOB: 8, CAT: 1}
ORDERS = {ANN1: 10, ANN2: 10, BOB: 10, CAT: 10, DAN: 10, LOST: 10}


# ---------------------------------------------------------------------------------------------------------- attachment


def test_a_mail_has_text_and_html_and_all_rows(world: World) -> None:
    world.load(D1, ORDERS, TROUBLE, rejected=BOB)
    world.run(D1)
    (mail,) = world.mails()["mail"]
    assert mail.get_content_type() == "multipart/mixed"
    body, file = mail.iter_parts()
    assert body.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in body.iter_parts()] == ["text/plain", "multipart/related"]
    assert file.get_filename() == "pipe-2024-06-24.csv.gz"
    assert file.get_content_disposition() == "attachment"
    for kind in ("plain", "html"):
        said = " ".join(body.get_body((kind,)).get_content().split())
        assert "All 7 rows of the table are in the attached pipe-2024-06-24.csv.gz." in said
    rows = {found["org"]: found for found in table_of(mail)}
    assert set(rows) == set(ORGS)
    assert rows[BOB] == {
        "partition": "2024-06-24", "org": BOB, "verdict": "critical", "orders": "10", "billed": "2",
        "billed discrepancy": "7", "billed discrepancy %": "70.0000", "people": "2", "Rejected": "1",
        "notes": f"note on {BOB}",
    }  # fmt: skip
    assert rows[GONE]["orders"] == ""
    assert rows[GONE]["verdict"] == "critical"


def test_headers_say_that_a_machine_wrote_it_and_threads_hold(world: World) -> None:
    for day in (D1, D2):
        world.load(day, ORDERS, TROUBLE)
        world.run(day)
    mails = world.mails()
    roots = set()
    for name, (first, second) in mails.items():
        assert first["References"] == first["In-Reply-To"] == second["References"], name
        assert first["Message-ID"] != second["Message-ID"]
        assert first["References"] not in {first["Message-ID"], second["Message-ID"]}
        assert first["Auto-Submitted"] == "auto-generated"
        assert first["List-Id"] == "<pipe.ep-test.dq.example.org>"
        assert first["Date"].datetime.tzinfo is not None
        roots.add(str(first["References"]))
    assert set(mails) == {"mail", "boss", "ann", "bob", "eve", "ops", "cat"}
    assert len(roots) == 6, "one thread for all orgs, and one for each owner and org"


class Loads(HTMLParser):
    """What a document would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fetching = {"src", "srcset", "background", "data", "poster"}
        self.found += [f"{tag} {name} {value}" for name, value in attrs if name in fetching]
        self.found += [tag] if tag in {"link", "script", "iframe", "object", "embed", "base"} else []


def test_no_mail_loads_anything(world: World) -> None:
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    for mails in world.mails().values():
        inside = [f"img src cid:{part['Content-ID'][1:-1]}" for part in mails[0].walk() if part["Content-ID"]]
        for part in mails[0].walk():
            if part.get_content_type() == "text/html":
                html = part.get_content()
                assert Loads(html).found == inside
                assert not [word for word in ("url(", "@import", "://") if word in html]


def test_what_is_attached_is_kept_once_and_not_longer_than_it_is_needed(world: World) -> None:
    world.smtp.refused.update({"boss@example.org": 450, "mail@example.org": 450})
    world.declare(mails="")
    world.load(D1, {f"{n}{ANN1}": 2 for n in range(2_000)}, {f"7{ANN1}": 1})
    world.run(D1)
    stored = world.rows("SELECT message FROM dq_outbox")
    assert len(stored) == 2
    kept, image = sorted(world.rows("SELECT digest, content FROM dq_attachment"), key=lambda one: one[1][:1] == b"\x89")
    assert isinstance(kept[1], bytes)
    for (message,) in stored:
        document = json.loads(str(message))
        file, picture = document["attachments"]
        assert file == {"name": "pipe-2024-06-24.csv.gz", "type": "application/gzip", "digest": kept[0], "cid": ""}
        assert picture["digest"] == image[0] and f'"cid:{picture["cid"]}"' in document["html"]
        body = len(json.dumps(document["html"])) + len(json.dumps(document["text"]))
        assert len(str(message)) < body + 2_000, "the file itself is not in the row"
    del world.smtp.refused["mail@example.org"]
    retry(world)
    assert len(world.rows("SELECT 1 FROM dq_attachment")) == 2, "the boss has not got it yet"
    del world.smtp.refused["boss@example.org"]
    retry(world)
    mails = world.mails()
    contents = {next(mail.iter_attachments()).get_content() for (mail,) in mails.values()}
    assert contents == {kept[1]}
    assert len(mails) == 2
    assert world.rows("SELECT 1 FROM dq_attachment") == []


def code(arguments: list[str]) -> int | str | None:
    """Return the exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def retry(world: World) -> None:
    """Send again what waits, without waiting."""
    app.retry_now(app.open_project(world.root), "me")
    app.pump(app.open_project(world.root), timedelta(0))


def test_a_mail_that_waits_has_the_rows_that_it_speaks_of_also_after_the_run_was_measured_again(world: World) -> None:
    world.smtp.refused["mail@example.org"] = 450
    world.declare(mails="")
    world.load(D1, ORDERS, {BOB: 2})
    world.run(D1)
    world.load(D1, ORDERS, {BOB: 6})
    world.run(D1, hour=6)
    del world.smtp.refused["mail@example.org"]
    retry(world)
    first, second = world.mails()["mail"]
    for mail, missing in ((first, "2"), (second, "6")):
        said = " ".join(mail.get_body(("plain",)).get_content().split())
        assert f"{BOB} 10 {10 - int(missing)} {missing} " in said
        (found,) = (found for found in table_of(mail) if found["org"] == BOB)
        assert found["billed discrepancy"] == missing


@pytest.mark.parametrize("gone", [False, True])
def test_attachments_on_every_store(empty_store: Engine, gone: bool) -> None:
    with Receivers() as receivers:
        routes = parse_alerting({
            "channels": {
                name: {"type": "email", "host": "127.0.0.1", "port": receivers.smtp.port, "from": "dq@example.org",
                       "to": f"{name}@example.org"}
                for name in ("a", "b")
            },
            "route": {"channels": ["a"]},
        })  # fmt: skip
        rng = random.Random("attachments")
        file = Attachment(name="rows.csv.gz", type="application/gzip", content=rng.randbytes(3_000_000))
        message = attrs.evolve(samples.MESSAGE, status="event", environment="prod", attachments=(file,))
        with empty_store.begin() as connection:
            for name in ("a", "b"):
                assert enqueue_event(connection, name, message, "once")
                assert not enqueue_event(connection, name, message, "once")
        with empty_store.begin() as connection:
            assert connection.execute(select(func.count()).select_from(attachments)).scalar() == 1
            if gone:
                connection.execute(attachments.delete())
        report = pump(empty_store, routes, open_channels(routes, str), environment="prod")
        if gone:
            assert (report.sent, report.dead) == (0, 2)
            assert "what was to be attached is no longer in the store" in report.problems[0]
            return
        assert (report.sent, report.dead) == (2, 0)
        for mail in receivers.smtp.messages:
            (got,) = mail.iter_attachments()
            assert got.get_content() == file.content
        with empty_store.connect() as connection:
            assert connection.execute(select(func.count()).select_from(attachments)).scalar() == 0
            assert len(connection.execute(select(outbox.c.id)).all()) == 2


def test_a_mail_that_is_just_being_decided_does_not_lose_its_file(empty_server: Engine) -> None:
    file = Attachment(name="rows.csv.gz", type="application/gzip", content=b"rows")
    message = attrs.evolve(samples.MESSAGE, status="event", environment="prod", attachments=(file,))
    with Receivers() as receivers:
        settings = {"type": "email", "host": "127.0.0.1", "port": receivers.smtp.port, "from": "dq@example.org"}
        routes = parse_alerting({"channels": {"a": {**settings, "to": "a@example.org"}}, "route": {"channels": ["a"]}})
        with empty_server.begin() as connection:
            enqueue_event(connection, "a", message, "first")
        with empty_server.connect() as connection, connection.begin() as deciding:
            enqueue_event(connection, "a", message, "second", datetime.now(UTC) + timedelta(days=1))
            channels = open_channels(routes, str)
            arguments = (empty_server, routes, channels)
            pumping = threading.Thread(target=pump, args=arguments, kwargs={"environment": "prod"})
            pumping.start()
            pumping.join(timeout=2)
            assert len(receivers.smtp.messages) == 1
            deciding.commit()
        pumping.join(timeout=30)
        assert not pumping.is_alive()
    with empty_server.connect() as connection:
        assert connection.execute(select(func.count()).select_from(attachments)).scalar() == 1


def test_what_is_too_long_for_a_mail_is_named_and_can_be_written(world: World, tmp_path: Path, capsys: object) -> None:
    rng = random.Random("names")
    orgs = {f"{n}-{rng.randbytes(300).hex()}": 1 for n in range(17_500)}
    world.declare(mails="")
    world.load(D1, orgs)
    world.run(D1)
    (mail,) = world.mails()["mail"]
    assert mail.get_content_type() == "multipart/alternative"
    command = "dq report pipe --date 2024-06-24 --csv pipe-2024-06-24.csv.gz"
    for part in mail.iter_parts():
        words = " ".join(part.get_content().split())
        assert "All 17502 rows of the table are too long for a mail (5 MB)" in words
        assert command in words
    file = tmp_path / "rows.csv.gz"
    arguments = [*command.split()[1:-1], str(file), "--project", str(world.root)]
    assert code(arguments) == 0
    found = list(csv.DictReader(io.StringIO(gzip.decompress(file.read_bytes()).decode())))
    assert {one["org"] for one in found} == {*orgs, GONE, LOST}
    assert file.stat().st_size > 5_000_000
    assert code([*arguments[:-3], str(tmp_path / "rows.csv"), "--project", str(world.root)]) == 0
    assert (tmp_path / "rows.csv").read_bytes() == gzip.decompress(file.read_bytes())


# ------------------------------------------------------------------------------------------------------------- picture


def images(mail: EmailMessage) -> list[EmailMessage]:
    """Return the images of a mail."""
    return [part for part in mail.walk() if part.get_content_maintype() == "image"]


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make what draws fail when it is imported."""

    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == "matplotlib":
                raise error

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])


NONE = ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")


def test_the_picture_stands_beside_the_html_that_shows_it(world: World) -> None:
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    mails = world.mails()
    (mail,) = mails["mail"]
    body, _ = mail.iter_parts()
    _, related = body.iter_parts()
    assert related.get_param("type") == "text/html", "RFC 2387 asks for it"
    html, image = related.iter_parts()
    assert [html.get_content_type(), image.get_content_type()] == ["text/html", "image/png"]
    assert image.get_content_disposition() == "inline"
    content = image.get_content()
    assert content.startswith(b"\x89PNG") and len(content) < 60_000
    tag = re.search(r'<img [^>]*src="cid:([^"]*)"[^>]*>', html.get_content())
    assert tag is not None and image["Content-ID"] == f"<{tag[1]}>"
    assert f"Bars of the worst 4 orgs for each day from 11 Jun to 24 Jun, as in the table above: {BOB} (bad" in tag[0]
    assert html.get_content().index("What is not well, ") < html.get_content().index("<img")
    for name, (other,) in mails.items():
        assert len(images(other)) == (name in ("mail", "boss")), "a part has none"
        assert ("<img" in other.get_body(("html",)).get_content()) == (name in ("mail", "boss"))
    world.load(D2, {**ORDERS, GONE: 1})
    world.run(D2)
    assert images(world.mails()["mail"][1]) == [], "nothing is bad"


def test_a_mail_that_was_decided_arrives_with_its_picture_also_where_none_can_be_drawn_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.smtp.refused["mail@example.org"] = 450
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    (boss,) = world.mails()["boss"]
    broken(monkeypatch, NONE)
    del world.smtp.refused["mail@example.org"]
    retry(world)
    (mail,) = world.mails()["mail"]
    assert images(mail)[0].get_content() == images(boss)[0].get_content()
    assert images(mail)[0]["Content-ID"] == images(boss)[0]["Content-ID"]
    assert world.rows("SELECT 1 FROM dq_attachment") == []


def test_what_draws_is_loaded_while_nobody_waits_for_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second, and many more where matplotlib looks for its fonts first."""
    waited: list[bool] = []

    class Looks:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == "matplotlib":
                with closing(sqlite3.connect(world.root / "var" / "store.sqlite", timeout=0)) as store:
                    try:
                        store.execute("BEGIN IMMEDIATE")
                        waited.append(False)
                    except sqlite3.OperationalError:
                        waited.append(True)

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Looks(), *sys.meta_path])
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    assert waited and not any(waited)
    assert len(images(world.mails()["mail"][0])) == 1


@pytest.mark.parametrize("error", [NONE, RuntimeError("no fonts"), ModuleNotFoundError("numpy", name="numpy")])
def test_a_picture_that_cannot_be_drawn_stops_no_mail(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    broken(monkeypatch, error)
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1, hour=6)
    first, second = world.mails()["mail"]
    assert [len(images(mail)) for mail in (first, second)] == [1, 0]
    body, _ = second.iter_parts()
    assert [part.get_content_type() for part in body.iter_parts()] == ["text/plain", "text/html"]
    html = second.get_body(("html",)).get_content()
    assert "<img" not in html and "What is not well, " in html
    why = f"The picture of the two weeks could not be drawn ({type(error).__name__})."
    for said in (html, " ".join(second.get_body(("plain",)).get_content().split())):
        assert (why in said) is (error is not NONE), "what is not installed is no trouble"
    assert table_of(first) == table_of(second)


def test_a_page_and_the_file_of_a_mail_have_the_picture(world: World, tmp_path: Path) -> None:
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    (mail,) = world.mails()["mail"]
    files = [str(tmp_path / name) for name in ("page.html", "mail.eml")]
    assert code(["report", "pipe", "--html", files[0], "--eml", files[1], "--project", str(world.root)]) == 0
    written = email.message_from_bytes(Path(files[1]).read_bytes(), policy=email.policy.SMTP)
    assert [part.get_content_type() for part in written.walk()] == [part.get_content_type() for part in mail.walk()]
    (image,) = images(written)
    assert image.get_content() == images(mail)[0].get_content()
    page = Path(files[0]).read_text()
    assert base64.b64encode(image.get_content()).decode() in page
    assert "cid:" not in page


def test_what_an_older_dq_put_into_the_outbox_is_sent(world: World) -> None:
    world.smtp.refused["mail@example.org"] = 450
    world.declare(mails="")
    world.load(D1, {**ORDERS, GONE: 1})
    world.run(D1)
    with closing(sqlite3.connect(world.root / "var" / "store.sqlite")) as store, store:
        store.execute("""UPDATE dq_outbox SET message = replace(message, ', "cid": ""', '')""")
    del world.smtp.refused["mail@example.org"]
    retry(world)
    assert len(table_of(world.mails()["mail"][0])) == 7


@pytest.mark.parametrize("to", ['"mail"', "[]"])
def test_a_run_without_a_mail_draws_nothing(world: World, to: str) -> None:
    world.declare(mails="")
    file = world.root / "reports" / "pipe.py"
    file.write_text(file.read_text().replace('to=["mail", "boss"]', f"to={to}"))
    world.load(D1, ORDERS, TROUBLE)
    code = (
        "import sys; from datetime import *; from pathlib import Path\n"
        "from dq import app; from dq.model.interval import Interval\n"
        f"day = Interval.of_day({str(D1)!r}); app.run(app.open_project(Path({str(world.root)!r})), 'pipe', day,"
        " now=day.end + timedelta(hours=5))\nprint('matplotlib' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(to != "[]")


# ---------------------------------------------------------------------------------------------------------------- CSV


def test_the_published_day_as_csv_is_what_was_published() -> None:
    found = list(csv.DictReader(io.StringIO(csv_bytes(agari(), gzipped=False).decode())))
    assert len(found) == 10
    (one,) = (line for line in found if line["org_id"] == "1")
    assert (one["nrt_db discrepancy"], one["nrt_db discrepancy %"]) == ("-74", "-21.7647")
    assert one["Skipped (derived)"] == "74"


def test_the_same_ledger_gives_the_same_bytes() -> None:
    first, second = attachment(agari()), attachment(agari())
    assert first == second
    assert first is not None
    assert first.content[4:8] == bytes(4), "no time in the header of gzip"
    assert gzip.decompress(first.content) == csv_bytes(agari(), gzipped=False)
    assert attachment(agari(), max_bytes=len(first.content)) == first
    assert attachment(agari(), max_bytes=len(first.content) - 1) is None


def test_a_file_that_is_too_long_is_not_made_to_its_end() -> None:
    short = ledger([row(f"org {n}", {"Regions": 1, "Provinces": n}) for n in range(10_000)])
    unreadable = attrs.evolve(short.rows[-1], counts={"Regions": object(), "Provinces": object()})
    made = attrs.evolve(short, rows=(*short.rows[:-1], unreadable))
    with pytest.raises(TypeError):
        attachment(made)
    assert attachment(made, max_bytes=1_000) is None


DANGEROUS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\tx", "\rx", " =1", '=HYPERLINK("http://x";"y")',
    "-2+3+cmd|' /C calc'!A0", "+49 30 1234", "\N{FULLWIDTH EQUALS SIGN}1", "\N{FULLWIDTH COMMERCIAL AT}x", "-",
    "-1e5", "--1", "-1.2.3", "-\N{ARABIC-INDIC DIGIT ONE}",
]  # fmt: skip
"""What a spreadsheet takes for a formula, or may (OWASP, CSV Injection)."""


@pytest.mark.parametrize("name", DANGEROUS)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_no_cell_is_a_formula_however_it_is_split(name: str, separator: str) -> None:
    for org in (name, f"x;{name}", f"x\t{name}", f'x",{name}', f"x\n{name}", f"x|{name}"):
        made = ledger([row(org, {"Regions": 1, "Provinces": 76}, notes=(org,))])
        lines = csv_bytes(made, gzipped=False).decode()
        cells = [cell for line in csv.reader(io.StringIO(lines, newline=""), delimiter=separator) for cell in line]
        for cell in cells:
            # A reader with another separator makes cells of dq's own numbers, too: they are no formulas.
            assert not cell.lstrip(" \0").startswith(tuple("=+@\t\r\N{FULLWIDTH EQUALS SIGN}")), (org, cell)
            assert not cell.startswith("-") or cell in {"-75", "-7500.0000"}, (org, cell)


def test_numbers_stay_numbers_and_names_stay_names() -> None:
    orgs = ["-5", "-5.25", "14", "a,b", 'say "hi"', "two\nlines", "", "org-1", "Zürich", "1;2"]
    made = ledger([row(org, {"Regions": 1, "Provinces": 76}) for org in orgs])
    found = list(csv.DictReader(io.StringIO(csv_bytes(made, gzipped=False).decode(), newline="")))
    assert [line["region"] for line in found] == orgs
    assert {line["Provinces discrepancy"] for line in found} == {"-75"}
    assert '"-75"' not in csv_bytes(made, gzipped=False).decode(), "numbers are not text"


# ------------------------------------------------------------------------------------------------- owners and orgs


@pytest.mark.parametrize(
    ("mapping", "levels"),
    [("", ""), (CLASH, ""), ("", "[Level()]")],
    ids=["all is counted", "a stage cannot be counted", "coarser levels"],
)
def test_the_mail_of_an_owner_or_org_holds_its_rows_and_nothing_of_others(
    world: World, mapping: str, levels: str
) -> None:
    world.declare(mails=f"{MAILS}, send_well=True", mapping=mapping, levels=levels)
    for day in (D1, D2):
        world.load(day, ORDERS, TROUBLE, rejected=BOB if day is D1 else CAT)
        world.run(day)
    mails = world.mails()
    whole = everything(mails["mail"][1])
    for org in ORGS:
        assert org in whole, "else its absence elsewhere says nothing"
    if mapping:
        assert "several orgs are called" in whole
    assert ("billed of all" in whole) is ("Coarser levels" in whole) is bool(levels)
    own = {
        "ann": {ANN1, ANN2}, "bob": {BOB}, "eve": {GONE}, "ops": {CAT, DAN, LOST}, "cat": {CAT}, "dan": {DAN},
        "lost": {LOST},
    }  # fmt: skip
    for name, orgs in own.items():
        for mail in mails[name]:
            said = everything(mail)
            for org in orgs:
                assert org in said, (name, org)
            for org in set(ORGS) - orgs:
                assert org not in said, (name, org)
            assert "987654321" not in said, "a total of all orgs"
            assert "of all the" not in said, "a coarser level"
            assert "billed of all" not in said
            assert "Coarser levels" not in said
            assert "Error: no" not in said, "the sample of a known loss may be of another org"
            assert "Promises kept" not in said
            assert {one["org"] for one in table_of(mail)} == orgs
    assert set(mails) == {*own, "mail", "boss"}
    ann = mails["ann"][1]
    assert ann["Subject"] == (
        "ep_test - orders to invoices (owner ann) - 2024-06-25: 1 of 2 orgs differs (warning)"
        + (", People could not be measured" if mapping else "")
    )
    said = " ".join(ann.get_body(("plain",)).get_content().split())
    assert "all orders: 20" in said
    assert f"2024-06-24: org {ANN1}, billed: 3 of 10 missing (30%) at Invoices" in said
    assert "Orders 20 " in said, "the waterfall"
    assert "Invoices 17 " in said
    weeks = said.split("What is not well,")[1].split("Numbers: ")[0]
    assert weeks.split(ANN1)[1].split()[:14] == ["-"] * 12 + ["30", "30"], "two weeks of the one that is not well"
    assert ANN2 not in weeks
    cat = " ".join(mails["cat"][1].get_body(("plain",)).get_content().split())
    assert "Rejected: 1" in cat
    assert "Rejected: 1" not in said


def news(mail: EmailMessage) -> list[str]:
    """Return what a mail says to be new, its header first, which text and HTML say alike."""
    text = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
    block = next((one for one in text.split("\n\n") if one.startswith(("Since the last r", "What is new"))), "")
    header, *lines = block.replace("\n  ", " ").splitlines() or [""]
    html = Words(mail.get_body(("html",)).get_content()).said
    said = [line.removeprefix("- ") for line in lines]
    assert [line for line in said if line.replace(": ", " ", 1) not in html] == [], html
    assert header.removesuffix(":") in html
    return [header, *said] if said else []


class Words(HTMLParser):
    """What a document says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said = ""
        self.feed(html)
        self.said = " ".join(self.said.split())

    def handle_data(self, data: str) -> None:
        self.said += f" {data}"


@pytest.mark.parametrize("levels", ["", "[Level()]"])
def test_an_owner_and_an_org_are_told_what_is_new_of_theirs(world: World, levels: str) -> None:
    world.declare(mails=f"{MAILS}, send_well=True", levels=levels)
    world.load(D1, ORDERS, {ANN1: 3, BOB: 8}, rejected=DAN)
    world.run(D1)
    world.load(D2, ORDERS, {ANN2: 2, BOB: 8, CAT: 1})
    world.run(D2)
    mails = world.mails()
    first = "first: nothing was told before, so nobody knows what is new; 1 org is not well"
    assert news(mails["ann"][0]) == ["What is new:", first]
    since = "Since the last run of a day before, 25 Jun 05:00 UTC:"
    nothing = "nothing: nothing is new, nothing is open and nothing was fixed"
    open_since = "critical, since 25 Jun 05:00"
    wanted = {
        "ann": [f"new: 1 org: {ANN2} (warning)", f"fixed: 1 org: {ANN1} (was warning)"],
        "bob": [f"still open: 1 org: {BOB} ({open_since})"],
        "eve": [f"still open: 1 org: {GONE} ({open_since})"],
        "cat": [f"new: 1 org: {CAT} (warning)"],
        "ops": [f"new: 1 org: {CAT} (warning)", f"fixed: 1 org: {DAN} (was warning)"],
        "dan": [f"fixed: 1 org: {DAN} (was warning)"],
        "lost": [nothing],
    }
    assert {name: news(mails[name][1]) for name in wanted} == {name: [since, *said] for name, said in wanted.items()}
    assert mails["ann"][1]["Subject"].endswith("; 1 new, 1 fixed")
    header, *whole = news(mails["mail"][1])
    assert header == "Since the last report, 25 Jun 05:00 UTC:"
    assert len(whole) == 3 and f"{ANN2} (warning), {CAT} (warning)" in whole[0]


def test_a_stage_that_cannot_be_counted_is_news_of_everybody(world: World) -> None:
    world.declare(mails=f"{MAILS}, send_well=True")
    world.load(D1, {**ORDERS, GONE: 1})
    world.run(D1)
    world.declare(mails=f"{MAILS}, send_well=True", mapping=CLASH)
    world.load(D2, {**ORDERS, GONE: 1}, {BOB: 1}, rejected=BOB)
    world.run(D2)
    mails = world.mails()
    assert [news(mails[name][1])[1:] for name in ("dan", "ann")] == [["new: 1: stage People (critical)"]] * 2
    assert news(mails["mail"][1])[1:] == ["new: 2: stage People (critical), stage Rejected (warning)"]


def test_a_partition_is_reopened_for_those_who_are_bad_in_it(world: World) -> None:
    world.declare(mails=f"{MAILS}, send_well=True")
    for day in (D1, D2):
        world.load(day, {**ORDERS, GONE: 1})
        world.run(day)
    world.load(D1, {**ORDERS, GONE: 1}, {BOB: 3})
    world.run(D1, hour=30)
    mails = world.mails()
    again = "reopened: 2024-06-24 was well on 25 Jun 05:00 and is bad"
    told = {name: news(mails[name][-1])[1:] for name in ("ann", "bob", "cat", "mail")}
    assert told == {"ann": [], "bob": [f"{again} now"], "cat": [], "mail": [f"{again} since 26 Jun 06:00"]}
    assert mails["bob"][-1]["Subject"].endswith("; 1 partition reopened")
    assert not mails["ann"][-1]["Subject"].endswith("reopened")
    world.load(D2, {**ORDERS, GONE: 1}, {CAT: 3})
    world.run(D2, hour=7)
    mails = world.mails()
    told = {name: "\n".join(news(mails[name][-1])) for name in ("ann", "bob", "cat")}
    assert "reopened" not in told["ann"]
    assert [told[name].count("is bad now") for name in ("bob", "cat")] == [1, 1]
    assert "2024-06-24 was well" in told["bob"] and "2024-06-25 was well" in told["cat"]


@pytest.mark.parametrize("packed", [20, 10_000])
def test_of_very_many_orgs_each_mail_has_its_own_and_rows_or_sums_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, packed: int
) -> None:
    world.declare(mails=f"{MAILS}, send_well=True")
    world.load(D1, ORDERS | {f"many-{n}": 5 for n in range(40)}, TROUBLE)
    world.run(D1)
    monkeypatch.setitem(measuring._measure.__kwdefaults__, "most_rows", 20)  # else it takes 50,000 orgs
    monkeypatch.setattr(counting, "MOST_PACKED", packed)
    world.run(D1, hour=6)
    for name, (full, few) in world.mails().items():
        sums = packed == 20 and name in ("mail", "boss", "ops")  # else the file has all rows
        assert all(org not in everything(few) for org in ORGS if org not in everything(full))
        assert few["Subject"] == full["Subject"]
        table = table_of(few)
        assert {row["org"] for row in table_of(full)} - {row["org"] for row in table} == (
            {f"many-{n}" for n in range(40)} if sums else set()
        )
        assert [(row["org"], row["orders"], row["billed"]) for row in table if "others" in row["org"]] == (
            [("40 others", "200", "200")] if sums else []
        )
        told = [" ".join(mail.get_body(("plain",)).get_content().split()) for mail in (full, few)]
        for said in ("all orders: ", "Orders "):  # a total, and the waterfall
            ends = [one.partition(said)[2].split(" ")[0] for one in told]
            assert ends[0] == ends[1]


def test_who_has_no_trouble_gets_no_mail_unless_it_is_declared(world: World) -> None:
    world.load(D1, {**ORDERS, GONE: 1}, {CAT: 1})
    world.run(D1)
    assert set(world.mails()) == {"mail", "boss", "ops", "cat"}
    world.declare(mails=f"{MAILS}, send_well=True")
    world.load(D2, {**ORDERS, GONE: 1})
    world.run(D2)
    mails = world.mails()
    assert set(mails) == {"mail", "boss", "ann", "bob", "eve", "ops", "cat", "dan", "lost"}
    assert mails["dan"][0]["Subject"].endswith("(org qz74-elder) - 2024-06-25: the one org agrees")


def test_what_could_not_be_counted_is_told_to_each(world: World) -> None:
    world.declare(mapping=CLASH)
    world.load(D1, {**ORDERS, GONE: 1})
    world.run(D1)
    mails = world.mails()
    assert {"ann", "bob", "eve", "ops", "cat", "dan", "lost"} <= set(mails)
    assert "People could not be measured" in mails["dan"][0]["Subject"]


@pytest.mark.parametrize("code", [550, 450])
def test_an_address_that_refuses_does_not_hold_up_the_others(world: World, code: int) -> None:
    world.smtp.refused["ann@example.org"] = code
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    assert set(world.mails()) == {"mail", "boss", "bob", "eve", "ops", "cat"}
    (left,) = world.rows("SELECT channel, dead_at IS NOT NULL FROM dq_outbox WHERE sent_at IS NULL")
    assert left == ("mail-ann", code == 550)
    del world.smtp.refused["ann@example.org"]
    retry(world)
    assert len(world.mails()["ann"]) == 1
    assert len(world.mails()["bob"]) == 1


def test_each_is_sent_once_per_version_and_again_when_asked(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1)
    app.close(app.open_project(world.root), "pipe", D1, "cli", now=D1.end + timedelta(hours=5))
    assert {name: len(mails) for name, mails in world.mails().items()} == dict.fromkeys(
        ("mail", "boss", "ann", "bob", "eve", "ops", "cat"), 1
    )
    assert code(["report", "pipe", "--owner", "ann", "--send", "--project", str(world.root)]) == 0
    assert code(["report", "pipe", "--org", CAT, "--send", "--project", str(world.root)]) == 0
    assert {name: len(mails) for name, mails in world.mails().items() if len(mails) > 1} == {"ann": 2, "cat": 2}
    first, second = world.mails()["ann"]
    assert first["Subject"] == second["Subject"]
    assert first["References"] == second["References"]
    assert table_of(first) == table_of(second)
    capsys.readouterr()
    assert code(["report", "pipe", "--org", BOB, "--project", str(world.root)]) == 0
    shown = capsys.readouterr().out
    assert BOB in shown
    assert ANN1 not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--org", "nobody"], "the ledger of 'pipe' for 2024-06-24 has no org 'nobody'"),
        (["--owner", "nobody"], "reconciliation 'pipe' has no owner 'nobody'"),
        (["--org", ANN1, "--send"], f"reconciliation 'pipe' names no channel for '{ANN1}' in to_orgs="),
        (["--org", ANN1, "--owner", "ann"], "--owner and --org are two parts"),
    ],
)
def test_what_cannot_be_asked_for(
    world: World, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    world.load(D1, ORDERS, TROUBLE)
    world.run(D1, alert=False)
    assert code(["report", "pipe", *arguments, "--project", str(world.root)]) == 2
    assert said in capsys.readouterr().err


def made(**settings: object) -> Reconciliation:
    stages = [Stage(name, Table("live", name)) for name in ("a", "b")]
    return Reconciliation("pipe", **{"by": By("org", owners={14: "ann"}), "stages": stages, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"to_owners": {"bob": "mail"}}, "to_owners= names 'bob', whom neither owner= nor By(owners=) names"),
        ({"to_orgs": {(1, 2): "mail"}}, "to_orgs=: By names (1, 2) for the columns org"),
        ({"to_orgs": {14: "mail", "14": "mail"}}, "to_orgs= names an org twice"),
        ({"send_well": True}, "send_well= is for the mails of to_owners= and to_orgs="),
    ],
)
def test_what_is_declared_wrongly_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(DeclarationError) as error:
        made(**settings)
    assert said in str(error.value)


def test_who_is_mailed() -> None:
    declared = made(to="mail", to_owners={"ann": ["ann", "mail"], "ops": "ops"}, to_orgs={14: "fourteen"}, owner="ops")
    assert declared.mailed == ("mail", "ann", "ops", "fourteen")


def test_lint_knows_the_channels_of_owners_and_orgs(world: World) -> None:
    world.declare(mails=MAILS.replace("mail-ann", "nobody"))
    problems = [problem.sentence for problem in app.lint(app.open_project(world.root))]
    assert any("to_owners= or to_orgs= names the channel 'nobody'" in text for text in problems)


def test_a_new_attribute_of_a_ledger_is_not_told_to_an_org_before_somebody_has_thought_of_it() -> None:
    """Whoever adds one says in dq/reports/part.py what the part of an org has of it, and then here."""
    names = {kind: {field.name for field in attrs.fields(kind)} for kind in (Ledger, LedgerRow, KnownLoss)}
    assert names == {
        Ledger: {"reconciliation", "pipeline", "environment", "interval", "columns", "rows", "totals", "results",
                 "severity", "still_bad", "losses", "levels", "rest"},
        LedgerRow: {"interval", "org", "counts", "explained", "discrepancy", "share", "severity", "notes", "accepted"},
        KnownLoss: {"name", "count", "sample"},
    }  # fmt: skip
