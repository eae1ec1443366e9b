"""Reading the settings of one channel; every complaint names ``channels.NAME.key``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from attrs import field, frozen

from dq.address import address_problem
from dq.alerting.channels import Resolve
from dq.model.errors import ConfigError

# ``env:NAME``, ``file:PATH``, ``airflow:conn_id``; an address such as ``https://...`` is a secret in the clear.
_REFERENCE = re.compile(r"[a-z][a-z0-9_.-]*:(?!//)\S.*")
# A setting that is no secret may lie elsewhere as well, but only behind a prefix that cannot be part of a plain text.
_PLACED_ELSEWHERE = re.compile(r"(env|file):(?!//)\S|airflow:[^\s/#]+#\S")


@frozen
class Settings:
    """The settings of one channel as ``alerting/routes.toml`` has them.

    Attributes:
        channel: the channel's name.
        values: by key.
        resolve: turns a secret reference such as ``env:NAME`` into the secret.
    """

    channel: str
    values: Mapping[str, object]
    resolve: Resolve = field(repr=False)

    def only(self, *known: str) -> Self:
        """Return itself.

        Raises:
            ConfigError: when a key is not among ``known``.
        """
        for key in self.values:
            if key not in known:
                raise self.error(key, f"is not a setting of this channel; it knows {', '.join(known)}")
        return self

    def error(self, key: str, problem: str) -> ConfigError:
        """Return the error that says what is wrong with ``key``."""
        return ConfigError(f"channels.{self.channel}.{key}: {problem}")

    def has(self, key: str) -> bool:
        """Return whether ``key`` was given."""
        return key in self.values

    def text(self, key: str, default: str | None = None) -> str:
        """Return the non-empty text of ``key``; what a reference such as ``env:SMTP_HOST`` stands for, too.

        Raises:
            ConfigError: when it is no such text, or is missing and there is no default.
        """
        value = self.values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, "must be a text that is not empty")
        return self._resolved(key, value) if _PLACED_ELSEWHERE.match(value) else value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts of ``key``: one text or a list of them, at least one.

        Raises:
            ConfigError: when it is neither.
        """
        value = self.values.get(key)
        values = value if isinstance(value, list | tuple) else [value]
        if key not in self.values:
            raise self.error(key, "is missing")
        if not values or not all(isinstance(item, str) and item.strip() for item in values):
            raise self.error(key, "must be a text or a list of texts, none of them empty")
        return tuple(str(item) for item in values)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return the number of ``key``, from ``low`` to ``high``.

        Raises:
            ConfigError: when it is not such a number.
        """
        value = self.values.get(key, default)
        if isinstance(value, str) and _PLACED_ELSEWHERE.match(value):
            text = self._resolved(key, value)
            value = float(text) if text.replace(".", "", 1).isdecimal() else text
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(key, f"must be a number from {low:g} to {high:g}")
        return value

    def flag(self, key: str) -> bool:
        """Return the truth value of ``key``; false by default.

        Raises:
            ConfigError: when it is not true or false.
        """
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def secret(self, key: str) -> str:
        """Return the secret that the reference in ``key`` stands for, without surrounding white space.

        Raises:
            ConfigError: when it is missing, is not a reference, or refers to nothing.
        """
        reference = self.values.get(key)
        if reference is None:
            raise self.error(key, "is missing")
        if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
            raise self.error(key, "is a secret and must be a reference such as env:NAME or file:PATH")
        return self._resolved(key, reference)

    def secrets(self, key: str) -> dict[str, str]:
        """Return the secrets of ``key``, a table of references by name; none by default.

        Raises:
            ConfigError: when it is no such table, or one of them refers to nothing.
        """
        table = self.values.get(key, {})
        if not isinstance(table, Mapping):
            raise self.error(key, 'must be a table such as { Authorization = "env:NAME" }')
        for name, reference in table.items():
            if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
                raise self.error(f"{key}.{name}", "is a secret and must be a reference such as env:NAME or file:PATH")
        return {name: self._resolved(f"{key}.{name}", reference) for name, reference in table.items()}

    def _resolved(self, key: str, reference: str) -> str:
        try:
            value = self.resolve(reference).strip()
        except ConfigError as error:
            raise self.error(key, str(error)) from None
        if not value:
            raise self.error(key, "what it refers to is empty")
        return value

    def address(self, key: str, value: str) -> str:
        """Return ``value``, the address that ``key`` gave, if it may be called; ``allow_http`` is read, too.

        Raises:
            ConfigError: when it is not https (or http to a loopback address with ``allow_http = true``).
        """
        problem = address_problem(value, allow_http=self.flag("allow_http"))
        if problem:
            raise self.error(key, problem)
        return value

    @property
    def timeout(self) -> float:
        """The time-out of one network step in seconds; 10 by default."""
        return self.number("timeout", 10.0, 0.1, 120.0)
