"""A table of samples in a Lance store, one for each space: one row a sample, with its vector as float16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from footage.stores.columns import Best, ranked
from footage.stores.lance_table import Dataset, Rows, Schema, pa
from footage.types import Hits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from footage.types import Embeddings, Float32

_REFINE_ROWS = 50  # the index knows vectors to 5 bits a dimension: its best are looked at in full, this many at least
_ROUGH_PARTS = 8  # of the index, which a rough search looks into: 16 found no more copies (`bench/copies.py align`)
TIMES = ("start", "end", "at")


def schema(dim: int) -> Schema:
    """The columns of a space of so many dimensions."""
    times = [(name, pa.float64()) for name in TIMES]
    return pa.schema([("video_id", pa.string()), *times, ("vector", pa.list_(pa.float16(), dim))])


def columns_of(rows: Sequence[Embeddings]) -> Rows:
    """Make one Arrow table of rows of one space."""
    dim = rows[0].vectors.shape[1]
    ids = pa.array([row.video_id for row in rows for _ in range(len(row))], pa.string())
    times = [pa.array(np.concatenate([getattr(row, name) for row in rows])) for name in TIMES]
    flat = pa.array(np.concatenate([row.vectors for row in rows]).astype(np.float16).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, dim)
    return pa.Table.from_arrays([ids, *times, vectors], schema=schema(dim))


def column(table: Rows, name: str) -> Any:
    """One column of numbers."""
    return table[name].to_numpy()


def matrix(table: Rows, dim: int) -> Float32:
    """The vectors: float32 (n, dim)."""
    chunks = [np.asarray(chunk.flatten()) for chunk in table["vector"].chunks]
    return np.concatenate([np.empty(0, np.float32), *chunks], dtype=np.float32).reshape(-1, dim)


def scan(dataset: Dataset, queries: Float32, k: int, where: str) -> list[Hits]:
    """Compare the queries with every row that passes the filter; Lance itself would read all the others as well."""
    best = Best(len(queries), k)
    columns = ["video_id", *TIMES, "vector"]
    for batch in dataset.scanner(columns=columns, filter=where, late_materialization=True).to_batches():
        rows = pa.Table.from_batches([batch])
        scores = queries @ matrix(rows, queries.shape[1]).T
        best.take(_strings(rows, "video_id"), column(rows, "start"), column(rows, "end"), column(rows, "at"), scores)
    return best.hits()


def nearest(
    dataset: Dataset, queries: Float32, k: int, where: str | None, *, probes: int | None, rough: bool
) -> list[Hits]:
    """Let Lance find the k nearest rows to each query: in the index and in the rows that it does not hold yet."""
    how: dict[str, Any] = {
        "column": "vector",
        "q": queries.astype(np.float16),
        "k": k,
        "metric": "dot",  # the cosine, of unit vectors; unlike "cosine" it does not lose zero vectors
        "use_index": probes is not None,
    }
    if rough:
        how["nprobes"] = _ROUGH_PARTS
    else:
        how |= {"minimum_nprobes": probes, "refine_factor": max(2, -(-_REFINE_ROWS // k))}
    rows = dataset.scanner(
        columns=["query_index", "video_id", *TIMES, "_distance"],
        nearest=how,
        filter=where,
        prefilter=True,
        disable_scoring_autoprojection=True,
    ).to_table()
    ids, which = _strings(rows, "video_id"), column(rows, "query_index")
    start, end, at = (column(rows, name) for name in TIMES)
    score = 1.0 - column(rows, "_distance")
    parts = [np.flatnonzero(which == query) for query in range(len(queries))]
    return [ranked(ids[part], start[part], end[part], at[part], score[part]) for part in parts]


def only(hits: Hits, ids: AbstractSet[str]) -> Hits:
    """Without the hits in other videos."""
    if ids >= set(hits.video_ids):
        return hits
    keep = np.array([i in ids for i in hits.video_ids], bool)
    kept = [i for i in hits.video_ids if i in ids]
    return Hits(kept, hits.start[keep], hits.end[keep], hits.at[keep], hits.score[keep])


def _strings(rows: Rows, name: str) -> NDArray[Any]:
    return np.array(rows[name].to_pylist(), dtype=object)
