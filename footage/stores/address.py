"""Where a store is: what a user writes after `--store`, and what library.json keeps.

    (nothing)                     a Lance directory inside the library
    lance:DIR  DIR                a Lance directory
    milvus:  milvus:DIR           Milvus Lite, in the library or in a directory
    http://HOST:19530[/DATABASE]  a Milvus server; https:// with TLS
    memory:                       nothing is kept

Directories that are not absolute lie in the library. Credentials are never part of it: see `Access`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from footage.errors import ConfigError

Kind: TypeAlias = Literal["memory", "lance", "milvus", "server"]
_HINT = "one of: lance:DIR, milvus:DIR (Milvus Lite), http://HOST:19530[/DATABASE] (a Milvus server), memory:"
_FOLDERS = {"lance": "store", "milvus": "milvus"}  # inside the library


@dataclass(frozen=True, slots=True)
class Access:
    """How a store is entered and laid out; nothing of it is written down."""

    token: str = field(default="", repr=False)  # of a server: user:password, or an API key
    ca: str = ""  # file with the certificate of whoever signed the server's, where the system does not know it
    index: str = ""  # kind of index of new spaces; "": by the table in docs/scale.md
    rows: int = 0  # how many are expected in a new space, for that table


@dataclass(frozen=True, slots=True)
class Address:
    """A store's place, taken apart."""

    kind: Kind
    place: str = ""  # directory, or scheme://host:port
    database: str = ""  # of a server

    def __str__(self) -> str:
        if self.kind == "server":
            return self.place + (f"/{self.database}" if self.database else "")
        return f"{self.kind}:{self.place}"

    @property
    def is_default(self) -> bool:
        """Whether it is what a library has without saying so."""
        return self == Address("lance")

    def folder(self, root: Path) -> Path:
        """The directory of a store that has one, in the library at `root` unless it is absolute."""
        return root / Path(self.place or _FOLDERS[self.kind]).expanduser()


def parsed(uri: str) -> Address:
    """Take a URI apart.

    Raises:
        ConfigError: nothing that could be a store, or with credentials in it.
    """
    text = uri.strip()
    kind, colon, rest = text.partition(":")
    if text == "memory:":
        return Address("memory")
    if kind in ("http", "https") and rest.startswith("//"):
        return _server(text)
    if colon and kind in ("lance", "milvus") and not rest.startswith("//"):
        return Address(kind, rest)
    if "://" in text or "\0" in text:
        raise ConfigError(f"unknown kind of store: {text.partition('://')[0]!r}", hint=_HINT)
    return Address("lance", text)


def _server(text: str) -> Address:
    # Nothing of the URI is shown before it is known to hold no password.
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError("the URI of the store has no valid host and port", hint=_HINT) from error
    if "@" in parts.netloc:
        raise ConfigError(
            "credentials do not belong in the URI of a store, which is written to the library",
            hint="set FOOTAGE_STORE_TOKEN to user:password or to an API key",
        )
    if not host or parts.query or parts.fragment:
        raise ConfigError("the URI of a store has a host, and neither ? nor #", hint=_HINT)
    database = parts.path.strip("/")
    if database and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", database):
        raise ConfigError(f"not a name of a database: {database!r}", hint="letters, digits and _")
    shown = f"[{host}]" if ":" in host else host
    port = port or (443 if parts.scheme == "https" else 19530)
    return Address("server", f"{parts.scheme}://{shown}:{port}", database)
