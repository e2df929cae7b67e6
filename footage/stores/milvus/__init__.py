"""The store in Milvus (https://milvus.io): Milvus Lite in a directory, a server, a cluster, Zilliz Cloud."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from footage.errors import ConfigError
from footage.stores.milvus.link import Link
from footage.stores.milvus.store import MilvusStore

if TYPE_CHECKING:
    from pathlib import Path

    from footage.stores.address import Access, Address

__all__ = ["MilvusStore", "open_milvus"]


def open_milvus(address: Address, root: Path, name: str, access: Access) -> MilvusStore:
    """Open the library of this name; it may be new.

    Raises:
        ConfigError: a name that Milvus would not take.
        StoreUnavailable: the server cannot be reached, or another process has the directory.
        StoreError: credentials are refused, or it holds something else.
    """
    if not re.fullmatch(r"[0-9A-Za-z_]{0,40}", name):
        raise ConfigError(f"not a name of a library in Milvus: {name!r}", hint="letters, digits and _")
    folder = address.folder(root).absolute() if address.kind == "milvus" else None
    link = Link(address, folder, access)
    try:
        return MilvusStore(link, f"footage_{name}_" if name else "footage_", access)
    except BaseException:
        link.close()
        raise
