"""What every store checks and sorts the same way, so that they agree on answers and on errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from footage.errors import QueryError, SpaceMismatch, StoreError
from footage.types import Embeddings, Hits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from footage.types import Float32, Float64, Space, Video


def find_space(spaces: Sequence[Space], name: str) -> Space:
    """Look a space up by name.

    Raises:
        SpaceMismatch: the store has no such space.
    """
    for space in spaces:
        if space.name == name:
            return space
    known = ", ".join(space.name for space in spaces) or "none"
    raise SpaceMismatch(
        f"the library has no space {name!r}; it has: {known}", hint="index with the model it was made by"
    )


def check_same(old: Space, new: Space) -> None:
    """Raise SpaceMismatch if a space is to be created again with another dimension, or other windows."""
    if old.dim != new.dim:
        raise SpaceMismatch(
            f"space {new.name!r} has {old.dim} dimensions in this library, not {new.dim}",
            hint="use the model the library was made with, or a new library",
        )
    if old.window != new.window:
        raise SpaceMismatch(
            f"space {new.name!r} has other windows in this library: {old.window}, not {new.window}",
            hint="drop the model that fills it, then use it again",
        )


def check_dim(space: Space) -> None:
    """Raise SpaceMismatch for a space that could hold nothing."""
    if not space.name or space.dim < 1:
        raise SpaceMismatch(f"a space needs a name and a dimension of at least 1: {space.name!r}, {space.dim}")


def check_rows(space: Space, rows: Embeddings) -> None:
    """Check that columns fit each other and the space.

    Raises:
        SpaceMismatch: vectors of another dimension.
        StoreError: columns of unequal length, or numbers that are not finite.
    """
    if rows.vectors.ndim != 2 or rows.vectors.shape[1] != space.dim:
        raise SpaceMismatch(
            f"vectors of shape {rows.vectors.shape} for space {space.name!r} of {space.dim} dimensions",
            hint="index with the model the library was made with",
        )
    n = len(rows.vectors)
    columns = (rows.start, rows.end, rows.at)
    if any(column.shape != (n,) for column in columns):
        raise StoreError(f"columns of unequal length for video {rows.video_id}: {n} vectors, {len(rows.at)} times")
    # one NaN among the vectors would make every distance of an index meaningless, so it must not come in
    if not all(bool(np.isfinite(column).all()) for column in (*columns, rows.vectors)):
        raise StoreError(f"a time or a vector of video {rows.video_id} is not finite", hint="the encoder is broken")


def check_put(video: Video, rows: Sequence[Embeddings]) -> None:
    """Raise StoreError unless all rows belong to the video."""
    for row in rows:
        if row.video_id != video.id:
            raise StoreError(f"samples of video {row.video_id} were given with video {video.id}")


def check_query(space: Space, vectors: Float32, k: int) -> Float32:
    """Return the queries as a contiguous float32 (q, dim) of length 1 each; a zero vector stays zero.

    Raises:
        QueryError: not two-dimensional, not finite, or k below 1.
        SpaceMismatch: another dimension.
    """
    if k < 1:
        raise QueryError(f"the number of results must be at least 1, not {k}")
    if vectors.ndim != 2:
        raise QueryError(f"query vectors must be of shape (q, dim), not {vectors.shape}")
    if vectors.shape[1] != space.dim:
        raise SpaceMismatch(
            f"a query of {vectors.shape[1]} dimensions for space {space.name!r} of {space.dim}",
            hint="search with the model the library was made with",
        )
    if not np.isfinite(vectors).all():
        raise QueryError("the query vector is not finite")
    # in float64, so that very long and very short vectors keep their direction
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(length > 0, length, 1.0), dtype=np.float32)


def products(queries: Float32, rows: Float32) -> Float32:
    """The scalar products of queries (q, dim) with rows (n, dim): float32 (q, n).

    A few queries are taken one by one: BLAS shares the product of two matrices out among threads even where it is
    small, and on a busy machine they wait for each other 50 times as long as the product takes.
    """
    if len(queries) <= 4:
        return np.stack([rows @ query for query in queries]) if len(queries) else np.empty((0, len(rows)), np.float32)
    return queries @ rows.T


def ranked(ids: NDArray[Any], start: Float64, end: Float64, at: Float64, score: Float32) -> Hits:
    """Make `Hits`, best first; equal scores in the order of video id and time, whatever the store returned."""
    order = np.lexsort((at, ids, -score))
    clipped = np.clip(score[order], -1.0, 1.0).astype(np.float32)
    return Hits([str(i) for i in ids[order]], start[order], end[order], at[order], clipped)


class Best:
    """The k best rows for each query, over any number of batches."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self._hits = [no_hits() for _ in range(queries)]

    def take(self, ids: NDArray[Any], start: Float64, end: Float64, at: Float64, scores: Float32) -> None:
        """Take a batch in: columns of length n, and scores float32 (q, n)."""
        for query, score in enumerate(scores):
            top = np.argpartition(-score, self._k - 1)[: self._k] if self._k < len(score) else np.arange(len(score))
            old = self._hits[query]
            together = ranked(
                np.concatenate([np.array(old.video_ids, dtype=object), ids[top]]),
                np.concatenate([old.start, start[top]]),
                np.concatenate([old.end, end[top]]),
                np.concatenate([old.at, at[top]]),
                np.concatenate([old.score, score[top]]),
            )
            self._hits[query] = first(together, self._k)

    def hits(self) -> list[Hits]:
        """The best so far, one `Hits` a query."""
        return self._hits


def first(hits: Hits, k: int) -> Hits:
    """Keep the first k."""
    return Hits(hits.video_ids[:k], hits.start[:k], hits.end[:k], hits.at[:k], hits.score[:k])


def no_hits() -> Hits:
    """Make an empty answer."""
    return Hits([], np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.float32))


def no_embeddings(space: Space, video_id: str) -> Embeddings:
    """Make empty columns of a space."""
    return Embeddings(space.name, video_id, np.empty(0), np.empty(0), np.empty(0), np.empty((0, space.dim), np.float32))


def own_copy(rows: Embeddings) -> Embeddings:
    """Copy the columns, as a database does: the caller may use its arrays again."""
    start, end, at = (np.array(column, np.float64) for column in (rows.start, rows.end, rows.at))
    return Embeddings(rows.space, rows.video_id, start, end, at, np.array(rows.vectors, np.float32))


def spread(total: int, n: int) -> NDArray[np.int64]:
    """Choose up to n positions of `range(total)`, evenly spread, in the middle of their parts."""
    n = max(0, min(n, total))
    return ((np.arange(n, dtype=np.int64) * 2 + 1) * total) // (2 * n) if n else np.empty(0, np.int64)


def by_path(video: Video) -> tuple[str, str]:
    """Order videos: by first path, then by id."""
    return (video.path, video.id)
