"""Reports: values in, HTML and text out; no input or output, no clock."""

from __future__ import annotations

from base64 import b64encode

from attrs import frozen

from dq.model.message import Attachment


@frozen(kw_only=True)
class Rendered:
    """A report as an e-mail carries it.

    Attributes:
        subject: one line.
        html: a whole document that needs nothing else: styles inside, no script, no remote image; under 100 kB,
            because Gmail cuts what is longer. An image of it is among the attachments, and has an id.
        text: the same for readers without HTML; lines of at most 100 columns.
        attachments: what goes with it.
    """

    subject: str
    html: str
    text: str
    attachments: tuple[Attachment, ...] = ()

    @property
    def page(self) -> str:
        """The HTML with its images inside, as a browser shows it from a file."""
        page = self.html
        for image in self.attachments:
            if image.cid:
                data = f"data:{image.type};base64,{b64encode(image.content).decode()}"
                page = page.replace(f'src="cid:{image.cid}"', f'src="{data}"')
        return page
