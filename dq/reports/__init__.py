"""Reports: values in, HTML and text out; no input or output, no clock."""

from __future__ import annotations

from attrs import frozen

from dq.model.message import Attachment


@frozen(kw_only=True)
class Rendered:
    """A report as an e-mail carries it.

    Attributes:
        subject: one line.
        html: a whole document that needs nothing else: styles inside, no script, no remote image; under 100 kB,
            because Gmail cuts what is longer.
        text: the same for readers without HTML; lines of at most 100 columns.
        attachments: what goes with it.
    """

    subject: str
    html: str
    text: str
    attachments: tuple[Attachment, ...] = ()
