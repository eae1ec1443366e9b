"""Loopback receivers that behave like the vendors: SMTP, Slack, PagerDuty Events v2, VictorOps REST, a signed webhook.

They listen on 127.0.0.1 only, on ports that the system picks, check every payload against ``tests/contracts`` (or the
folder that ``DQ_CONTRACTS`` names), keep the state that a vendor keeps (which alerts are open, what a channel shows
now), and can be told to fail or to hang. The tests use ``Receivers``; the demo runs them as a process of their own::

    python -m tests.receivers --dir DIR --ports-file FILE
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
import os
import signal
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jsonschema
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from aiosmtpd.smtp import log as smtp_log
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# An Airflow 2.11 that is imported writes what anybody logs to stdout, among what a test reads there.
smtp_log.propagate = False

HOST = "127.0.0.1"
CONTRACTS = Path(os.environ.get("DQ_CONTRACTS") or Path(__file__).with_name("contracts"))
DOCUMENT = Path(__file__).parents[1] / "dq" / "alerting" / "channels" / "webhook.schema.json"
NAMES = ("smtp", "slack", "pagerduty", "victorops", "webhook")

# Channels of a routes.toml that lead to them, by the variables of Receivers.environment().
TEAM = """
[channels.team]
type = "slack"
webhook = "env:SLACK_WEBHOOK"
allow_http = true
"""
ONCALL = """
[channels.oncall]
type = "pagerduty"
routing_key = "env:PAGER_KEY"
url = "env:PAGER_URL"
allow_http = true
"""
MAIL = """
[channels.mail]
type = "email"
host = "127.0.0.1"
port = "env:SMTP_PORT"
starttls = "off"
from = "dq@example.org"
to = ["team@example.org"]
"""

Reply = tuple[int, str]


def valid(schema: str, document: object) -> bool:
    """Return whether ``document`` satisfies ``tests/contracts/<schema>.schema.json``."""
    return jsonschema.Draft202012Validator(_schema(schema)).is_valid(document)


def certificate(directory: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and localhost and return its file and that of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "receiver.pem", directory / "receiver.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


@define
class Failure:
    """What a receiver answers instead of its work.

    Attributes:
        status: the HTTP status, or the SMTP code after DATA; 0 drops the connection without an answer.
        headers: of the HTTP answer.
        body: of the HTTP answer, or the text after the SMTP code.
    """

    status: int
    headers: Mapping[str, str]
    body: str


@define
class Hold:
    """A request that is held, so that a test can choose what happens to its sender meanwhile.

    Attributes:
        taken: the vendor has done its work, and only the answer is held.
        reached: set as soon as the request is there.
        released: set when it goes on.
        lost: on release, a request that is not taken yet is dropped.
    """

    taken: bool
    reached: threading.Event = field(factory=threading.Event)
    released: threading.Event = field(factory=threading.Event)
    lost: bool = False

    def release(self, *, lost: bool = False) -> None:
        """Let it go on, or drop it."""
        self.lost = lost
        self.released.set()


@define
class Alert:
    """An alert or incident as a pager knows it.

    Attributes:
        open: whether it is open now.
        opens: how often it was opened.
        acked: whether somebody is on it, while it is open.
        repeats: triggers that joined it while it was open.
        acks: how often it was acknowledged while it was open.
        resolves: how often it was resolved.
        orphans: resolves and acknowledgements that came while it was not open; the vendor drops them.
    """

    open: bool = False
    acked: bool = False
    opens: int = 0
    repeats: int = 0
    acks: int = 0
    resolves: int = 0
    orphans: int = 0

    def trigger(self) -> None:
        """Open it, or join it."""
        if self.open:
            self.repeats += 1
        else:
            self.open, self.acked, self.opens = True, False, self.opens + 1

    def acknowledge(self) -> None:
        """Note that somebody is on it, or do nothing."""
        if self.open:
            self.acked, self.acks = True, self.acks + 1
        else:
            self.orphans += 1

    def resolve(self) -> None:
        """Close it, or do nothing."""
        if self.open:
            self.open, self.acked, self.resolves = False, False, self.resolves + 1
        else:
            self.orphans += 1


class Receiver:
    """What all have in common.

    Attributes:
        hang: while true, nothing is answered.
        received: every payload that came in, also those that were refused: bytes of a mail, or a JSON value.
    """

    name = ""

    def __init__(self, recorder: Recorder) -> None:
        self.hang = False
        self.received: list[Any] = []
        self._recorder = recorder
        self._lock = threading.Lock()
        self._failures: list[Failure] = []
        self._holds: list[Hold] = []
        self._stopped = threading.Event()

    def fail_next(
        self, status: int, headers: Mapping[str, str] | None = None, body: str = "", times: int = 1
    ) -> None:
        """Answer the next ``times`` requests with this and do nothing; status 0 drops the connection."""
        with self._lock:
            self._failures += [Failure(status, headers or {}, body)] * times

    def fail_no_more(self) -> None:
        """Forget what ``fail_next`` was told."""
        with self._lock:
            self._failures.clear()

    def hold_next(self, *, taken: bool) -> Hold:
        """Hold the next request, before the vendor does its work or (``taken``) before it answers."""
        hold = Hold(taken)
        with self._lock:
            self._holds.append(hold)
        return hold

    def stop(self) -> None:
        """Stop listening: from now on the address refuses connections. Stopping twice is harmless."""
        self._stopped.set()

    def state(self) -> dict[str, Any]:
        """Return what it knows, for ``state.json``."""
        return {"received": len(self.received)}

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    def _failure(self) -> Failure | None:
        with self._lock:
            return self._failures.pop(0) if self._failures else None

    def _hold(self) -> Hold | None:
        with self._lock:
            return self._holds.pop(0) if self._holds else None


class Recorder:
    """Writes what was accepted to a directory, numbered by arrival, and the state of all receivers beside it.

    Args:
        directory: where to; made if need be. None: nothing is written.
    """

    def __init__(self, directory: Path | None) -> None:
        self.receivers: tuple[Receiver, ...] = ()
        self._directory = directory
        self._count = 0
        self._lock = threading.Lock()
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, suffix: str, content: bytes) -> None:
        """Write one payload as ``NNN-name.suffix`` and the state of all as ``state.json``."""
        if self._directory is None:
            return
        with self._lock:
            self._count += 1
            (self._directory / f"{self._count:03}-{name}.{suffix}").write_bytes(content)
            _replace(self._directory / "state.json", {one.name: one.state() for one in self.receivers})


class Smtp(Receiver):
    """A mail server.

    Attributes:
        host, port: where it listens.
        ca_file: the certificate to trust with STARTTLS; empty without.
        messages: the accepted mails, parsed.
        envelopes: their senders and recipients, as the protocol gave them.
        refused: recipients (by address) that are refused, with the code.
    """

    name = "smtp"

    def __init__(self, recorder: Recorder, directory: Path, *, starttls: bool, login: tuple[str, str] | None) -> None:
        super().__init__(recorder)
        if login and not starttls:
            raise ValueError("a login needs starttls=True")
        self.host = HOST
        self.ca_file = ""
        self.messages: list[EmailMessage] = []
        self.envelopes: list[tuple[str, tuple[str, ...]]] = []
        self.refused: dict[str, int] = {}
        self._login = login
        self._context: ssl.SSLContext | None = None
        if starttls:
            cert, key = certificate(directory)
            self.ca_file = str(cert)
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(cert, key)
        self._sessions: list[SMTP] = []
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._loop.create_server(self._session, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp receiver", daemon=True)
        self._thread.start()

    def _session(self) -> SMTP:
        session = SMTP(
            self,
            hostname="localhost",
            tls_context=self._context,
            require_starttls=self._context is not None,
            authenticator=self._authenticate,
            auth_required=self._login is not None,
            loop=self._loop,
        )
        self._sessions.append(session)
        return session

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: object
    ) -> AuthResult:
        assert isinstance(auth_data, LoginPassword)
        given = (auth_data.login.decode(), auth_data.password.decode())
        return AuthResult(success=given == self._login, handled=False)

    async def handle_EHLO(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet, unless it hangs."""
        while self.hang and not self.stopped:  # noqa: ASYNC110  # it is set in another thread
            await asyncio.sleep(0.05)
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse a recipient."""
        if address in self.refused:
            return f"{self.refused[address]} recipient refused"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        hold = self._hold()
        if hold and not hold.taken:
            await self._wait(hold)
            if hold.lost:
                return "451 lost"
        self.received.append(content)
        if failure := self._failure():
            if failure.status == 0:
                server.transport.abort()
            return f"{failure.status} {failure.body}"
        self.messages.append(message_from_bytes(content, policy=policy.default))
        self.envelopes.append((envelope.mail_from or "", tuple(envelope.rcpt_tos)))
        self._recorder.write(self.name, "eml", content)
        if hold and hold.taken:
            await self._wait(hold)
        return "250 OK"

    async def _wait(self, hold: Hold) -> None:
        hold.reached.set()
        while not hold.released.is_set() and not self.stopped:  # noqa: ASYNC110  # it is set in another thread
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Stop listening and drop open connections."""
        if self.stopped:
            return
        super().stop()
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for session in self._sessions:
            if session.transport is not None:
                session.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # lets aborted transports say good-bye before the loop ends


class HttpReceiver(Receiver):
    """A vendor's HTTP endpoint.

    Attributes:
        port: where it listens.
        requests: path and headers of every request.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.requests: list[tuple[str, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver.answer(self, raw)

            def do_GET(self) -> None:
                receiver.answer(self, b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in http.server
                """Stay silent: the tests and the demo look at what was received."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name=f"{self.name} receiver", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self.stopped:
            return
        super().stop()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def take(self, path: str, headers: Mapping[str, str], raw: bytes, document: Any) -> tuple[bool, Reply]:
        """Do the vendor's work and return whether the payload was accepted, and the answer."""
        raise NotImplementedError

    def answer(self, request: BaseHTTPRequestHandler, raw: bytes) -> None:
        """Answer one request."""
        while self.hang and not self.stopped:
            time.sleep(0.05)
        try:
            document = json.loads(raw)
        except ValueError:
            document = None
        hold = self._hold()
        if hold and not hold.taken:
            self._wait(hold)
            if hold.lost:
                request.close_connection = True
                return
        with self._lock:
            self.received.append(document)
            self.requests.append((request.path, dict(request.headers)))
        headers: Mapping[str, str] = {}
        if failure := self._failure():
            status, body, headers = failure.status, failure.body, failure.headers
        elif request.command != "POST":
            status, body = 405, ""
        else:
            with self._lock:
                accepted, (status, body) = self.take(request.path, request.headers, raw, document)
            if accepted:
                self._recorder.write(self.name, "json", (_pretty(document) + "\n").encode())
        if hold and hold.taken:
            self._wait(hold)
        with contextlib.suppress(OSError):  # the sender may have given up
            if status == 0:
                request.close_connection = True
                return
            content = body.encode()
            request.send_response(status)
            given = {"Content-Type": "application/json" if body[:1] in ("{", "[") else "text/plain", **headers}
            for key, value in {**given, "Content-Length": str(len(content))}.items():
                request.send_header(key, value)
            request.end_headers()
            request.wfile.write(content)

    def _wait(self, hold: Hold) -> None:
        hold.reached.set()
        while not hold.released.is_set() and not self.stopped:
            time.sleep(0.01)


class SlackReceiver(HttpReceiver):
    """Slack's incoming webhook, and of its Web API ``chat.postMessage`` and ``chat.update``.

    Attributes:
        posts: the messages that were posted, as they were then; those of a bot have ``channel``.
        shown: what a bot's messages say now, by channel and timestamp. A test may take one away.
        replies: what was said in threads.
        edits: what messages were edited to.
        token: the bot token that it knows.
    """

    name = "slack"
    token = "xoxb-loopback-0000000000"

    # Slack documents no limit on all block text together; 11,341 characters were seen rejected (bolt-js issue 2867).
    _TEXT = 11_000

    def __init__(self, recorder: Recorder) -> None:
        self.posts: list[dict[str, Any]] = []
        self.shown: dict[tuple[str, str], dict[str, Any]] = {}
        self.replies: list[dict[str, Any]] = []
        self.edits: list[dict[str, Any]] = []
        super().__init__(recorder)

    @property
    def webhook(self) -> str:
        """The address of the incoming webhook."""
        return f"http://{HOST}:{self.port}{self._path}"

    @property
    def base_url(self) -> str:
        """The address of the Web API."""
        return f"http://{HOST}:{self.port}/api/"

    _path = "/services/T00000000/B00000000/loopbackloopbackloopback"

    def take(self, path: str, headers: Mapping[str, str], raw: bytes, document: Any) -> tuple[bool, Reply]:
        """Post a message, reply to one, or edit one."""
        if path == self._path:
            if problem := self._problem("slack_incoming_webhook", document):
                return False, (400, problem)
            self.posts.append(document)
            return True, (200, "ok")
        if path not in ("/api/chat.postMessage", "/api/chat.update"):
            return False, (404, "no_service")
        problem = self._problem("slack_chat_post_message", document)
        if headers.get("Authorization") != f"Bearer {self.token}":
            problem = "invalid_auth"
        if problem:
            return False, (200, json.dumps({"ok": False, "error": problem}))
        # A bot may post to a name; all else goes by the id that it was told then.
        channel = document["channel"]
        channel = f"C0{channel[1:].upper()}" if channel.startswith("#") else channel
        ts = f"1700000000.{len(self.posts) + len(self.replies):06}"
        if path == "/api/chat.update":
            ts = document.get("ts", "")
            if (channel, ts) not in self.shown:
                return False, (200, json.dumps({"ok": False, "error": "message_not_found"}))
            self.shown[channel, ts] = document
            self.edits.append(document)
        elif "thread_ts" in document:
            if (channel, document["thread_ts"]) not in self.shown:
                return False, (200, json.dumps({"ok": False, "error": "thread_not_found"}))
            self.replies.append(document)
        else:
            self.shown[channel, ts] = document
            self.posts.append(document)
        return True, (200, json.dumps({"ok": True, "channel": channel, "ts": ts}))

    def state(self) -> dict[str, Any]:
        """Return the number of posts, replies and edits."""
        counts = {"posts": len(self.posts), "replies": len(self.replies), "edits": len(self.edits)}
        return {**super().state(), **counts}

    def _problem(self, schema: str, document: Any) -> str:
        if document is None:
            return "invalid_payload"
        if not valid(schema, document):
            return "invalid_blocks"
        said = sum(map(len, _texts(document.get("blocks", []))))
        return "msg_blocks_too_long" if schema == "slack_chat_post_message" and said > self._TEXT else ""


class PagerDutyReceiver(HttpReceiver):
    """PagerDuty's Events API v2.

    Attributes:
        events: the accepted events.
        alerts: by routing key and dedup key.
        changes: the accepted change events.
    """

    name = "pagerduty"

    def __init__(self, recorder: Recorder) -> None:
        self.events: list[dict[str, Any]] = []
        self.alerts: dict[tuple[str, str], Alert] = {}
        self.changes: list[dict[str, Any]] = []
        super().__init__(recorder)

    @property
    def url(self) -> str:
        """The address for events."""
        return f"http://{HOST}:{self.port}/v2/enqueue"

    @property
    def change_url(self) -> str:
        """The address for change events."""
        return f"http://{HOST}:{self.port}/v2/change/enqueue"

    @property
    def open_keys(self) -> set[str]:
        """The dedup keys of the open alerts."""
        return {key for (_, key), alert in self.alerts.items() if alert.open}

    def take(self, path: str, headers: Mapping[str, str], raw: bytes, document: Any) -> tuple[bool, Reply]:
        """Trigger, acknowledge or resolve; or note a change."""
        kinds = {"/v2/enqueue": "pagerduty_events_v2_alert", "/v2/change/enqueue": "pagerduty_events_v2_change"}
        kind = kinds.get(path)
        if kind is None:
            return False, (404, "")
        if len(raw) > _schema(kind)["x-max-body-bytes"]:
            return False, (413, "")
        if not valid(kind, document):
            said = {"status": "invalid event", "message": "Event object is invalid", "errors": ["it breaks the schema"]}
            return False, (400, json.dumps(said))
        if kind == "pagerduty_events_v2_change":
            self.changes.append(document)
            return True, (202, json.dumps({"status": "success", "message": "Change event processed"}))
        key = document.get("dedup_key") or f"generated-{len(self.events)}"
        alert = self.alerts.setdefault((document["routing_key"], key), Alert())
        match document["event_action"]:
            case "trigger":
                alert.trigger()
            case "acknowledge":
                alert.acknowledge()
            case "resolve":
                alert.resolve()
        self.events.append(document)
        return True, (202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": key}))

    def state(self) -> dict[str, Any]:
        """Return the alerts by dedup key."""
        return {**super().state(), **_alerts({key: alert for (_, key), alert in self.alerts.items()})}


class VictorOpsReceiver(HttpReceiver):
    """The generic REST endpoint of VictorOps / Splunk On-Call, of an account where WARNING opens an incident.

    Attributes:
        events: the accepted alerts.
        alerts: by entity id.
        routing_keys: the last part of the path of each accepted alert.
    """

    name = "victorops"

    def __init__(self, recorder: Recorder) -> None:
        self.events: list[dict[str, Any]] = []
        self.alerts: dict[str, Alert] = {}
        self.routing_keys: list[str] = []
        super().__init__(recorder)

    _path = "/integrations/generic/20131114/alert/00000000-loop-back-0000-000000000000"

    @property
    def url(self) -> str:
        """The address up to the API key; the routing key comes after it."""
        return f"http://{HOST}:{self.port}{self._path}"

    @property
    def open_keys(self) -> set[str]:
        """The entity ids of the open incidents."""
        return {key for key, alert in self.alerts.items() if alert.open}

    def take(self, path: str, headers: Mapping[str, str], raw: bytes, document: Any) -> tuple[bool, Reply]:
        """Open, acknowledge, note or recover."""
        start, _, routing_key = path.rpartition("/")
        if start != self._path or not routing_key:
            return False, (404, "")
        if not valid("splunk_oncall_rest", document):
            return False, (400, json.dumps({"result": "failure", "message": "it breaks the schema"}))
        key = document.get("entity_id") or f"generated-{len(self.events)}"
        match document["message_type"]:
            case "CRITICAL" | "WARNING":
                self.alerts.setdefault(key, Alert()).trigger()
            case "ACKNOWLEDGEMENT":
                self.alerts.setdefault(key, Alert()).acknowledge()
            case "RECOVERY":
                self.alerts.setdefault(key, Alert()).resolve()
        self.events.append(document)
        self.routing_keys.append(routing_key)
        return True, (200, json.dumps({"result": "success", "entity_id": key}))

    def state(self) -> dict[str, Any]:
        """Return the incidents by entity id."""
        return {**super().state(), **_alerts(self.alerts)}


class WebhookReceiver(HttpReceiver):
    """An endpoint of one's own, which trusts what is signed and no older than five minutes.

    Attributes:
        documents: the accepted documents.
        keys: what is not well, by what it was last told.
        secret: what the sender signs with.
    """

    name = "webhook"
    secret = "loopback-signing-secret"

    def __init__(self, recorder: Recorder) -> None:
        self.documents: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        super().__init__(recorder)

    @property
    def url(self) -> str:
        """The address for documents."""
        return f"http://{HOST}:{self.port}/hooks/loopback-path-0000"

    def take(self, path: str, headers: Mapping[str, str], raw: bytes, document: Any) -> tuple[bool, Reply]:
        """Take a document, if it is signed and valid."""
        if path != "/hooks/loopback-path-0000":
            return False, (404, "")
        given = dict(part.partition("=")[::2] for part in headers.get("Dq-Signature", "").split(","))
        signed = hmac.new(self.secret.encode(), f"{given.get('t')}.".encode() + raw, hashlib.sha256).hexdigest()
        fresh = given.get("t", "").isdecimal() and abs(time.time() - int(given["t"])) <= 300
        if not (fresh and hmac.compare_digest(signed, given.get("v1", ""))):
            return False, (401, "")
        schema = json.loads(DOCUMENT.read_text(encoding="utf-8"))
        if len(raw) > schema["x-max-body-bytes"] or not jsonschema.Draft202012Validator(schema).is_valid(document):
            return False, (400, "")
        self.documents.append(document)
        if document["status"] in ("firing", "acknowledged"):
            self.keys.add(document["key"])
        elif document["status"] == "resolved":
            self.keys.discard(document["key"])
        return True, (204, "")

    def state(self) -> dict[str, Any]:
        """Return the keys of what is not well."""
        return {**super().state(), "open": sorted(self.keys)}


@define(eq=False)
class Receivers:
    """All receivers; a context manager that stops them.

    Attributes:
        record_to: a directory for what was accepted, see ``Recorder``.
        starttls: the mail server demands TLS, with a self-signed certificate (``smtp.ca_file``).
        login: user and password that the mail server demands; needs ``starttls``.
    """

    record_to: Path | None = None
    starttls: bool = False
    login: tuple[str, str] | None = None
    smtp: Smtp = field(init=False)
    slack: SlackReceiver = field(init=False)
    pagerduty: PagerDutyReceiver = field(init=False)
    victorops: VictorOpsReceiver = field(init=False)
    webhook: WebhookReceiver = field(init=False)
    _directory: tempfile.TemporaryDirectory[str] = field(init=False, factory=tempfile.TemporaryDirectory)

    def __attrs_post_init__(self) -> None:
        recorder = Recorder(self.record_to)
        self.smtp = Smtp(recorder, Path(self._directory.name), starttls=self.starttls, login=self.login)
        self.slack = SlackReceiver(recorder)
        self.pagerduty = PagerDutyReceiver(recorder)
        self.victorops = VictorOpsReceiver(recorder)
        self.webhook = WebhookReceiver(recorder)
        recorder.receivers = tuple(getattr(self, name) for name in NAMES)

    def stop(self) -> None:
        """Stop all of them."""
        for name in NAMES:
            getattr(self, name).stop()
        self._directory.cleanup()

    def addresses(self) -> dict[str, dict[str, Any]]:
        """Return where they listen, as the ports file has it."""
        return {
            "smtp": {"host": self.smtp.host, "port": self.smtp.port, "ca_file": self.smtp.ca_file},
            "slack": {"webhook": self.slack.webhook, "base_url": self.slack.base_url, "token": self.slack.token},
            "pagerduty": {"url": self.pagerduty.url, "change_url": self.pagerduty.change_url},
            "victorops": {"url": self.victorops.url},
            "webhook": {"url": self.webhook.url, "secret": self.webhook.secret},
        }

    def environment(self, pager_key: str) -> dict[str, str]:
        """Return what ``TEAM``, ``ONCALL`` and ``MAIL`` name; ``pager_key`` is the routing key of the pager."""
        return {
            "SLACK_WEBHOOK": self.slack.webhook,
            "PAGER_KEY": pager_key,
            "PAGER_URL": self.pagerduty.url,
            "SMTP_PORT": str(self.smtp.port),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run the receivers until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tests.receivers", description=__doc__.partition("\n")[0])
    parser.add_argument("--dir", type=Path, required=True, help="where accepted payloads and state.json are written")
    parser.add_argument("--ports-file", type=Path, required=True, help="written (JSON) as soon as all listen")
    parser.add_argument("--only", default=",".join(NAMES), help="those that listen; the others refuse connections")
    parser.add_argument("--starttls", action="store_true", help="the mail server demands TLS")
    parser.add_argument("--login", metavar="USER:PASSWORD", help="the mail server demands this login")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one is gone")
    given = parser.parse_args(arguments)
    only = set(filter(None, given.only.split(",")))
    if unknown := only - set(NAMES):
        parser.error(f"unknown receivers: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
    if given.login and not given.starttls:
        parser.error("--login needs --starttls")
    parent = os.getppid()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    login = tuple(given.login.partition(":")[::2]) if given.login else None
    with Receivers(record_to=given.dir, starttls=given.starttls, login=login) as receivers:
        for name in NAMES:
            if name not in only:
                getattr(receivers, name).stop()
        _replace(given.ports_file, receivers.addresses())
        while not ended.wait(0.5):
            if given.with_parent and os.getppid() != parent:
                break
    return 0


def _schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CONTRACTS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return document


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _alerts(alerts: Mapping[str, Alert]) -> dict[str, Any]:
    counts = ("open", "acked", "opens", "repeats", "acks", "resolves", "orphans")
    return {
        "open": sorted(key for key, alert in alerts.items() if alert.open),
        "alerts": {key: {name: getattr(alert, name) for name in counts} for key, alert in alerts.items()},
    }


def _pretty(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)


def _replace(path: Path, document: object) -> None:
    """Write a JSON file so that a reader never sees half of it."""
    part = path.with_name(path.name + ".part")
    part.write_text(_pretty(document) + "\n", encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
