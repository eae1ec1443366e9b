"""Secrets: references such as ``env:NAME`` and ``file:PATH``, resolved only when they are used and never shown.

A prefix is the name of an entry point in ``dq.secrets``: a function that takes what stands behind the colon and returns
the secret. Where a URL does not tell all that a database needs, an entry point of the same name in ``dq.engines`` takes
the same and returns what makes the SQLAlchemy engine, or None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import field, frozen

from dq.model.errors import ConfigError
from dq.plugins import load_plugin, plugin_names, suggest

_REFERENCE = re.compile(r"(?P<store>[a-z][a-z0-9_]*):(?!//)(?P<rest>.+)", re.DOTALL)
# How SQLAlchemy reads a user and a password out of a URL.
_PASSWORD_IN_URL = re.compile(r"[\w+]+://[^:/]*:[^@]*@")
_SECRET_IN_QUERY = re.compile(r"[?&;{= ](password|passwd|pwd|token|secret|\w+_token)=", re.IGNORECASE)
_FILE_URL = re.compile(r"(?P<scheme>(?:sqlite|duckdb)(?:\+\w+)?:///)(?P<path>[^?]*)(?P<query>.*)", re.DOTALL)


@frozen(repr=False)
class Secret:
    """A text that may be secret: a reference to it, or (of what is no secret) the text itself.

    Attributes:
        text: ``"env:WAREHOUSE_URL"``, ``"file:secrets/pager"``, or the plain text.
        place: where it was written, for errors: ``dq.toml: datasources.warehouse.url``.
        root: the folder to which relative paths refer.
    """

    text: str = field()
    place: str
    root: Path

    @property
    def is_reference(self) -> bool:
        """Whether it names a secret that lies elsewhere."""
        return _REFERENCE.fullmatch(self.text) is not None

    def reveal(self) -> str:
        """Return the secret; read anew each time, so that a rotated secret is found.

        Raises:
            ConfigError: when it cannot be had; the sentence names the place and the reference, never the secret.
        """
        match = _REFERENCE.fullmatch(self.text)
        if match is None:
            return self.text
        store, rest = match["store"], match["rest"]
        if store not in plugin_names("dq.secrets"):
            raise ConfigError(
                f"{self.place}: there is no secret store {store!r}; {suggest(store, plugin_names('dq.secrets'))}"
            )
        return str(self._asked("dq.secrets", store, str(self.root / rest) if store == "file" else rest))

    def reveal_engine(self) -> Callable[[dict[str, Any]], Any] | None:
        """Return what makes the SQLAlchemy engine of the database, where its URL does not tell all.

        Returns:
            A function of the keyword arguments of ``create_engine``, as one dict; None where the URL does.

        Raises:
            ConfigError: as :meth:`reveal`.
        """
        match = _REFERENCE.fullmatch(self.text)
        if match is None or match["store"] not in plugin_names("dq.engines"):
            return None
        make: Callable[[dict[str, Any]], Any] | None = self._asked("dq.engines", match["store"], match["rest"])
        return make

    def _asked(self, group: str, store: str, reference: str) -> Any:
        try:
            return load_plugin(group, store)(reference)
        except ConfigError as error:
            raise ConfigError(f"{self.place}: {error}") from None
        except Exception as error:  # noqa: BLE001  # a store is foreign code, and its text may hold what must not be shown
            raise ConfigError(f"{self.place}: the secret store {store!r} failed with {type(error).__name__}") from None

    def reveal_url(self) -> str:
        """Return the secret as a database URL; a relative SQLite or DuckDB file lies under ``root``.

        Raises:
            ConfigError: as :meth:`reveal`.
        """
        url = self.reveal()
        match = _FILE_URL.fullmatch(url)
        if match is None or not match["path"] or match["path"].startswith((":", "/", "file:", "md:")):
            return url
        return f"{match['scheme']}{self.root / match['path']}{match['query']}"

    def __repr__(self) -> str:
        return f"Secret({self.text if self.is_reference else '...'})"


def refuse_plain_secret(secret: Secret) -> Secret:
    """Return ``secret`` when it is a reference.

    Raises:
        ConfigError: when the secret itself was written down; the sentence does not repeat it.
    """
    if not secret.is_reference:
        raise ConfigError(f'{secret.place}: a secret is never written here; refer to it as "env:NAME" or "file:PATH"')
    return secret


def refuse_password_in_url(secret: Secret) -> Secret:
    """Return ``secret`` when it is a reference, or a URL that holds no password.

    Raises:
        ConfigError: when the URL holds one; the sentence does not repeat it.
    """
    url = unquote(secret.text)
    if not secret.is_reference and (_PASSWORD_IN_URL.match(url) or _SECRET_IN_QUERY.search(url)):
        raise ConfigError(
            f'{secret.place}: the url holds a password; leave it out and add password = "env:NAME", '
            'or refer to the whole url, e.g. "env:WAREHOUSE_URL"'
        )
    return secret


def env_secret(name: str) -> str:
    """Return the environment variable ``name``.

    Raises:
        ConfigError: when it is not set, or empty.
    """
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(f"the environment variable {name} is not set")
    if not value:
        raise ConfigError(f"the environment variable {name} is empty")
    return value


def file_secret(path: str) -> str:
    """Return what the file ``path`` holds, without its last line break.

    Raises:
        ConfigError: when it cannot be read, or is empty.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"the secret file {Path(path).name} cannot be read: {why}") from None
    if not text:
        raise ConfigError(f"the secret file {Path(path).name} is empty")
    return text


def without_addresses(text: str) -> str:
    """Return ``text`` without its addresses, because they may hold a password."""
    return _ADDRESS.sub("(address)", text)


_ADDRESS = re.compile(r"\w[\w+.-]*://\S+")
