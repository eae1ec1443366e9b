"""Reading TOML strictly: every value is checked, every key that nobody knows is refused with its place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from dq.model.duration import parse_duration
from dq.model.errors import ConfigError, DeclarationError
from dq.plugins import suggest
from dq.secret import Secret, refuse_password_in_url, refuse_plain_secret


class Section:
    """A table of a TOML file that remembers which keys were asked for, so that the others can be refused.

    Args:
        file: the file, as errors name it, e.g. ``dq.toml``.
        path: where in the file the table stands, e.g. ``datasources.warehouse``; empty for the whole file.
        raw: what was parsed.
        root: the folder to which relative paths refer.
    """

    def __init__(self, file: str, path: str, raw: Mapping[str, Any], root: Path) -> None:
        self.file, self.path, self.raw, self.root = file, path, raw, root
        self._asked: list[str] = []

    def place(self, key: str) -> str:
        """Return where ``key`` stands, for an error: ``dq.toml: datasources.warehouse.url``."""
        return f"{self.file}: {f'{self.path}.{key}' if self.path else key}"

    def refuse_unknown(self) -> None:
        """Refuse the first key that nobody asked for.

        Raises:
            ConfigError: which names its place and what is known there.
        """
        for key in self.raw:
            if key not in self._asked:
                raise ConfigError(f"{self.place(key)}: unknown key; {suggest(key, tuple(sorted({*self._asked})))}")

    def get(self, key: str, kind: type, what: str, default: Any = None) -> Any:
        """Return the value of ``key``, ``default`` where it is not given.

        Args:
            key: the key.
            kind: the type it must have.
            what: that type in words, for the error.
            default: None says that it must be given.

        Raises:
            ConfigError: when it is something else, or is missing and has no default.
        """
        self._asked.append(key)
        value = self.raw.get(key, default)
        if value is None:
            # A misspelt key is the likelier news than a missing one.
            for other in self.raw:
                if other not in self._asked and suggest(other, (key,)).startswith("did you mean"):
                    raise ConfigError(f"{self.place(other)}: unknown key; {suggest(other, (key,))}")
            raise ConfigError(f"{self.place(key)}: it is missing; give {what}")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{self.place(key)}: it must be {what}")
        return value

    def section(self, key: str) -> Section:
        """Return the table ``key``, empty where it is not given."""
        raw = self.get(key, dict, f"a table, [{f'{self.path}.{key}' if self.path else key}]", {})
        return Section(self.file, f"{self.path}.{key}" if self.path else key, raw, self.root)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        value: str = self.get(key, str, "a text", default)
        if not value.strip():
            raise ConfigError(f"{self.place(key)}: it is empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where it is not given."""
        values = self.get(key, list, "a list of texts", [])
        if not all(isinstance(value, str) for value in values):
            raise ConfigError(f"{self.place(key)}: it must be a list of texts")
        return tuple(values)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value: bool = self.get(key, bool, "true or false", default)
        return value

    def count(self, key: str) -> int | None:
        """Return a whole number of at least 1; None where it is not given."""
        if key not in self.raw:
            self._asked.append(key)
            return None
        value: int = self.get(key, int, "a whole number")
        if value < 1:
            raise ConfigError(f"{self.place(key)}: it must be at least 1")
        return value

    def duration(self, key: str, default: str) -> timedelta:
        """Return a duration such as ``"5m"``."""
        try:
            return parse_duration(self.text(key, default))
        except DeclarationError as error:
            raise ConfigError(f"{self.place(key)}: {error}") from None

    def url(self, key: str, default: str | None = None) -> Secret:
        """Return a URL that holds no password, or a reference to a URL."""
        return refuse_password_in_url(Secret(self.text(key, default), self.place(key), self.root))

    def password(self, key: str) -> Secret | None:
        """Return a reference to a secret; None where it is not given."""
        if key not in self.raw:
            self._asked.append(key)
            return None
        return refuse_plain_secret(Secret(self.text(key), self.place(key), self.root))
