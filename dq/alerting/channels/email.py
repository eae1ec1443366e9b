"""E-mail over SMTP with STARTTLS and login."""

from __future__ import annotations

import hashlib
import re
import smtplib
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape
from pathlib import Path
from typing import ClassVar, Self

from attrs import field, frozen

from dq.address import is_loopback
from dq.alerting.channels import Resolve, plain
from dq.alerting.channels.http import safe
from dq.alerting.channels.settings import Settings
from dq.alerting.channels.truncate import clean, line
from dq.model.message import Attachment, Message, Receipt
from dq.model.severity import Severity

_COLOURS = {
    Severity.INFO: "#1f6feb",
    Severity.WARNING: "#9a6700",
    Severity.ERROR: "#bc4c00",
    Severity.CRITICAL: "#b42318",
}
_BREAK = re.compile(r"(?<=[^\W\d][._:/-])(?=\w)")
"""Where the id of a run or task may be broken, or it makes a table wider than a phone."""
_STATES = {"acknowledged": "#57606a", "resolved": "#1a7f37"}


def body_html(message: Message) -> str:
    """Return the message as one HTML document with inline styles, without script or remote content."""
    message = plain.worded(message)
    colour = _STATES.get(message.status) or _COLOURS[message.severity]
    title, query = _html(plain.headline(message, 1_000)), clean(message.query).strip()
    pill = f"display:inline-block;padding:2px 10px;border-radius:10px;background:{colour};color:#fff;font-weight:600"
    parts = [
        f'<h1 style="font-size:18px;line-height:1.35;margin:0 0 8px">{title}</h1>',
        f'<p style="margin:0 0 16px"><span style="{pill}">{_html(plain.state(message))}</span></p>',
        *(f'<p style="margin:0 0 16px">{_html(part)}</p>' for part in _paragraphs(message)),
    ]
    if message.facts:
        parts.append(_table(_fact(*fact) for fact in message.facts))
    if message.links:
        parts.append(f'<p style="margin:0 0 16px">{"".join(_link(*link) for link in message.links)}</p>')
    if query:
        box = "margin:0;padding:12px;background:#f6f8fa;border-radius:6px;font-size:12px;white-space:pre-wrap"
        parts.append(_heading("How to reproduce") + f'<pre style="{box};word-break:break-word">{_html(query)}</pre>')
    if message.rows:
        parts.append(_heading("Findings, worst first"))
        parts.append(_table([_row("th", message.columns), *(_row("td", cells) for cells in message.rows)]))
    small = "margin:12px 0 0;color:#57606a;font-size:12px"
    notes = (*plain.left_out(message, message), message.note)
    parts += [f'<p style="{small}">{_html(note)}</p>' for note in notes if note]
    font = "font:14px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif;color:#1f2328"
    card = f"max-width:720px;margin:0 auto;padding:16px;background:#fff;border-top:4px solid {colour}"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title></head>"
        f'<body style="margin:0;padding:12px;background:#f6f8fa;{font}">'
        f'<div style="{card}">{"".join(parts)}</div></body></html>'
    )


def compose(
    message: Message, *, channel: str, sender: Address, recipients: tuple[Address, ...], at: datetime
) -> EmailMessage:
    """Return the mail: text and HTML, with what is attached, threaded with the other mails of the same key.

    ``message.html`` and ``message.text`` are used where they are given. The Message-ID depends on the message and the
    channel alone, so that a mail doubled by a second try can be told from a new one.

    Args:
        channel: the channel's name.
        sender: the address of ``From``.
        recipients: the addresses of ``To``.
        at: the time of sending, for ``Date``.
    """
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = plain.headline(message, 250)
    mail["From"] = sender
    mail["To"] = recipients
    mail["Date"] = format_datetime(at)
    one = (channel, message.key, message.status, message.title, message.summary, message.at.isoformat())
    mail["Message-ID"] = f"<dq-{_digest(*one)}@{sender.domain}>"
    if message.key:
        thread = f"<dq-thread-{_digest(message.key)}@{sender.domain}>"
        mail["In-Reply-To"] = thread
        mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Id"] = f"<{_label(message.subject)}.{_label(message.environment)}.dq.{sender.domain}>"
    html = clean(message.html) or body_html(message)
    fill(mail, clean(message.text) or plain.text(message), html, message.attachments)
    return mail


def fill(mail: EmailMessage, text: str, html: str, attachments: Iterable[Attachment]) -> None:
    """Put text, HTML and what goes with it into a mail that has headers only.

    An image that the HTML shows by its id is beside the HTML (``multipart/related``, RFC 2387 and 2392), so that no
    client lists it among the files; these are attached.
    """
    mail.set_content(text)
    mail.add_alternative(html, subtype="html")
    page = mail.get_body(("html",))
    for file in attachments:
        main, _, sub = file.type.partition("/")
        if file.cid and isinstance(page, EmailMessage):
            page.add_related(
                file.content, main, sub, cid=f"<{file.cid}>", filename=line(file.name), disposition="inline"
            )
            page.set_param("type", "text/html")
        else:
            mail.add_attachment(file.content, main, sub, filename=line(file.name))


@frozen
class Email:
    """The channel ``email``.

    Attributes:
        name: the channel's name.
        host, port: the SMTP server.
        sender, recipients: the addresses.
        starttls: TLS is demanded before anything is said.
        user, password: the login; without a user there is none.
        ca_file: a PEM file with the certificate to trust instead of the system's.
        timeout: seconds for each network step.
    """

    name: str
    host: str
    port: int
    sender: Address
    recipients: tuple[Address, ...]
    starttls: bool = True
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    timeout: float = 10.0
    pages: ClassVar[bool] = False
    rate: ClassVar[tuple[int, float]] = (0, 0.0)  # a mail server says 4xx when it has enough
    secrets: ClassVar[tuple[str, ...]] = ("password",)

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe; see ``Channel.of``."""
        read = Settings(name, settings, resolve).only(
            "host", "port", "starttls", "user", "password", "from", "to", "ca_file", "timeout"
        )
        host = read.text("host")
        port = read.number("port", 587, 1, 65_535)
        starttls = read.text("starttls", "off" if is_loopback(host) else "required")
        if starttls not in {"required", "off"}:
            raise read.error("starttls", 'must be "required" or "off"')
        if read.has("user") is not read.has("password"):
            raise read.error("password" if read.has("user") else "user", "is missing; a login needs user and password")
        if read.has("password") and starttls == "off" and not is_loopback(host):
            raise read.error("starttls", 'a password is not sent in the clear; use "required"')
        ca_file = read.text("ca_file") if read.has("ca_file") else ""
        if ca_file and not Path(ca_file).is_file():
            raise read.error("ca_file", "there is no such file")
        return cls(
            name=name,
            host=host,
            port=int(port),
            sender=_address(read, "from", read.text("from")),
            recipients=tuple(_address(read, "to", one) for one in read.texts("to")),
            starttls=starttls == "required",
            user=read.text("user") if read.has("user") else "",
            ca_file=ca_file,
            timeout=read.timeout,
            password=read.secret("password") if read.has("password") else "",
        )

    def send(self, message: Message) -> Receipt:
        """Send ``message``; see ``Channel.send``.

        A receipt that is delivered and has an error names the recipients that were refused.
        """
        mail = compose(message, channel=self.name, sender=self.sender, recipients=self.recipients, at=datetime.now(UTC))
        try:
            refused = self._deliver(mail)
        except smtplib.SMTPRecipientsRefused as error:
            retry = any(code < 500 for code, _ in error.recipients.values())
            return _failed(f"no recipient was accepted: {_named(error.recipients)}", retry=retry)
        except smtplib.SMTPNotSupportedError as error:
            return _failed(f"the mail server cannot do what is needed: {safe(str(error))}", retry=False)
        except smtplib.SMTPResponseException as error:
            said = safe(_decoded(error.smtp_error), filter(None, [self.password]))
            return _failed(f"the mail server answered {error.smtp_code}: {said}", retry=error.smtp_code < 500)
        except ssl.SSLError:
            return _failed("TLS failed, or the certificate of the mail server is not trusted", retry=True)
        except (OSError, smtplib.SMTPException) as error:
            if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
                return _failed(f"no answer from the mail server within {self.timeout:g} s", retry=True)
            return _failed(f"no connection to the mail server, or it broke ({type(error).__name__})", retry=True)
        partly = f"{len(refused)} of {len(self.recipients)} recipients refused: {_named(refused)}" if refused else ""
        return Receipt(delivered=True, reference={"message_id": str(mail["Message-ID"])}, error=partly)

    def _deliver(self, mail: EmailMessage) -> dict[str, tuple[int, bytes]]:
        server = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        try:
            if self.starttls:
                server.starttls(context=ssl.create_default_context(cafile=self.ca_file or None))
            if self.user:
                server.login(self.user, self.password)
            refused = server.send_message(
                mail, from_addr=self.sender.addr_spec, to_addrs=[one.addr_spec for one in self.recipients]
            )
            with suppress(OSError):  # the mail is taken; how the good-bye goes changes nothing
                server.quit()
            return refused
        finally:
            server.close()


def _failed(error: str, *, retry: bool) -> Receipt:
    return Receipt(delivered=False, retry=retry, error=error)


def _decoded(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _named(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{line(address)} ({code})" for address, (code, _) in sorted(refused.items()))


def _address(read: Settings, key: str, value: str) -> Address:
    name, spec = parseaddr(value)
    try:
        address = Address(display_name=name, addr_spec=spec)
    except (ValueError, IndexError, MessageError):
        address = Address()
    if not (address.username and address.domain) or line(value) != value.strip():
        raise read.error(key, f"{line(value)!r} is not an e-mail address")
    return address


def _label(text: str) -> str:
    """Return ``text`` as one label of a List-Id (RFC 2919), which people filter by."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or _digest(text)[:12]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]


def _html(text: str) -> str:
    return escape(clean(text))


def _row(tag: str, cells: Iterable[str]) -> str:
    style = "padding:4px 12px 4px 0;border-bottom:1px solid #d0d7de;text-align:left;vertical-align:top"
    shown = (f'<{tag} style="{style}">{_BREAK.sub("<wbr>", _html(cell))}</{tag}>' for cell in cells)
    return f"<tr>{''.join(shown)}</tr>"


def _fact(label: str, value: str) -> str:
    left = "padding:3px 16px 3px 0;color:#57606a;white-space:nowrap;vertical-align:top"
    right = "padding:3px 0;vertical-align:top;word-break:break-word"
    return f'<tr><td style="{left}">{_html(label)}</td><td style="{right}">{_html(value)}</td></tr>'


def _heading(text: str) -> str:
    return f'<h2 style="font-size:13px;color:#57606a;margin:16px 0 6px">{_html(text)}</h2>'


def _paragraphs(message: Message) -> list[str]:
    return [part for part in clean(message.summary).split("\n") if part.strip()]


def _table(rows: Iterable[str]) -> str:
    return f'<table style="border-collapse:collapse;margin:0 0 16px">{"".join(rows)}</table>'


def _link(text: str, address: str) -> str:
    shown = _html(line(text) or line(address))
    if not address.startswith(("https://", "http://", "mailto:")):
        return f"{shown}: {_html(address)}<br>"
    button = "display:inline-block;margin:0 8px 8px 0;padding:6px 14px;border:1px solid #d0d7de;border-radius:6px"
    return f'<a href="{_html(address)}" style="{button};color:#0969da;text-decoration:none">{shown}</a>'
