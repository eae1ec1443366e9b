"""Channels: the media through which a message leaves, one file each, found by the entry point group ``dq.channels``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, Self, runtime_checkable

from dq.model.errors import ConfigError
from dq.model.message import Message, Receipt
from dq.plugins import load_plugin

Resolve = Callable[[str], str]

GROUP = "dq.channels"


@runtime_checkable
class Channel(Protocol):
    """A medium with its settings. A plug-in is one class like this, offered as an entry point of ``dq.channels``.

    Attributes:
        pages: it wakes people: it knows ``firing``, ``acknowledged`` and ``resolved`` and is never given an ``event``.
        rate: at most how many messages in how many seconds, as the vendor wants it; ``(0, 0.0)``: as many as there are.
        secrets: the settings that must be references such as ``env:NAME``.
    """

    pages: ClassVar[bool]
    rate: ClassVar[tuple[int, float]]
    secrets: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str:
        """Its name in ``alerting/routes.toml``."""

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe.

        Args:
            name: its name.
            settings: its settings without ``type``.
            resolve: turns a secret reference into the secret.

        Secrets are resolved last, when everything else is known to be in order.

        Raises:
            ConfigError: when a setting is unknown, missing or wrong; the sentence names ``channels.NAME.key``.
        """

    def send(self, message: Message) -> Receipt:
        """Send ``message`` once and return what came of it.

        ``message.reference`` is the reference of the last receipt under the same key while the group is open: a medium
        that can edit or thread does so. One that cannot show an acknowledgement returns a delivered receipt without a
        request.

        Trouble of the network or the vendor is a receipt, never an exception; retrying is the outbox's affair.

        Raises:
            ValueError: when the message cannot be meant for this channel (an event for a pager, no key).
        """


def build(name: str, settings: Mapping[str, object], resolve: Resolve) -> Channel:
    """Return the channel ``name``.

    Args:
        name: its name in ``alerting/routes.toml``.
        settings: the table ``[channels.NAME]``. Its ``type`` says which kind of channel it is; without one, the name
            up to its first ``:`` does, so ``slack`` and ``pagerduty:orders`` need no ``type``.
        resolve: turns a secret reference such as ``env:NAME`` into the secret.

    Raises:
        ConfigError: when no installed package offers that kind, its plug-in does not load (the sentence names the
            package), or a setting is unknown, missing or wrong.
    """
    kind = settings.get("type", name.partition(":")[0])
    if not isinstance(kind, str):
        raise ConfigError(f"channels.{name}.type: must be a text")
    try:
        found = load_plugin(GROUP, kind)
    except ConfigError as error:
        raise ConfigError(f"channels.{name}.type: {error}") from error
    if not (isinstance(found, type) and hasattr(found, "of") and hasattr(found, "send")):
        raise ConfigError(f"channels.{name}.type: what {kind!r} in {GROUP} names is not a channel class")
    channel: Channel = found.of(name, {key: value for key, value in settings.items() if key != "type"}, resolve)
    return channel
