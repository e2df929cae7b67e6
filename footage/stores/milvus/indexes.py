"""Which index a new space gets, by what the server can do and how many rows are expected (docs/scale.md).

An index is chosen when a space is made and stays: to change it a server has to put the space away for minutes. A
library that has outgrown its index is moved by `footage migrate` to the same server, which makes its spaces anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from footage.errors import ConfigError
from footage.stores.texts import K1, B

if TYPE_CHECKING:
    from collections.abc import Mapping

    from footage.stores.milvus.link import Able

MANY, HUGE = 1_000_000, 20_000_000  # rows of a space
_LARGEST = 16_384  # of any such parameter that a server takes


@dataclass(frozen=True, slots=True)
class Index:
    """One kind of index: how it is built, and how it is asked."""

    name: str
    build: Mapping[str, float | str | bool] = field(default_factory=dict[str, "float | str | bool"])
    width: str = ""  # the parameter of a search that says how much is looked at; it grows with the number of results
    least: int = 0  # of it
    per_result: int = 0  # of it; 0: it does not depend on the results
    search: Mapping[str, int] = field(default_factory=dict[str, int])
    newer: bool = False  # asks for a server that knows the newer kinds
    metric: str = "IP"

    def params(self, k: int) -> dict[str, Any]:
        """The parameters of a search for k rows."""
        if not self.width:
            return dict(self.search)
        wide = max(self.least, min(self.per_result * k, _LARGEST), k if self.per_result else 0)
        return {**self.search, self.width: wide}


_GRAPH: dict[str, float | str | bool] = {"M": 16, "efConstruction": 200}
KINDS = {
    kind.name: kind
    for kind in (
        Index("FLAT"),
        Index("HNSW", _GRAPH, "ef", 128, 2),
        Index(
            "HNSW_SQ",
            {**_GRAPH, "sq_type": "SQ8", "refine": True, "refine_type": "FP16"},
            "ef",
            128,
            2,
            {"refine_k": 4},
            newer=True,
        ),
        Index("IVF_SQ8", {"nlist": 1024}, "nprobe", 64),
        Index("IVF_FLAT", {"nlist": 1024}, "nprobe", 64),
        Index(
            "IVF_RABITQ",
            {"nlist": 1024, "refine": True, "refine_type": "SQ8"},
            "nprobe",
            64,
            search={"rbq_query_bits": 6, "refine_k": 4},
            newer=True,
        ),
        Index("DISKANN", {}, "search_list", 100, 2),
    )
}

WORDS = Index("SPARSE_INVERTED_INDEX", {"bm25_k1": K1, "bm25_b": B}, metric="BM25")


def chosen(able: Able, rows: int, wanted: str = "") -> Index:
    """The index of a new space.

    Raises:
        ConfigError: the wanted one is not known here, or not to this server.
    """
    if wanted:
        kind = KINDS.get(wanted.upper())
        if kind is None:
            raise ConfigError(f"unknown index: {wanted}", hint=f"one of: {', '.join(KINDS)}")
        if kind.newer and not able.newer_indexes:
            raise ConfigError(f"this Milvus does not know the index {kind.name}", hint="2.6 or newer does")
        if able.lite and kind.name == "DISKANN":
            raise ConfigError("Milvus Lite does not know the index DISKANN", hint="HNSW is what it has by itself")
        return kind
    if able.lite or rows < MANY:
        return KINDS["HNSW"]
    if not able.newer_indexes:
        return KINDS["DISKANN" if rows >= HUGE else "IVF_SQ8"]
    return KINDS["DISKANN" if rows >= HUGE else "IVF_RABITQ" if rows >= 5 * MANY else "HNSW_SQ"]


def better(able: Able, index: str, rows: int, wanted: str = "") -> str:
    """The kind of index for a space of so many rows where it has another one; "" while that will do."""
    if able.lite or rows < MANY:
        return ""
    name = chosen(able, rows, wanted).name
    return "" if name == index else name
