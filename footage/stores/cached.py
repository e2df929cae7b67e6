"""Reading through a memory: what many searches read again and again is kept, up to a size.

The samples of a video do not change while its record is the same one, so they are kept by video and time of indexing.
The background of a query is a statistic over the whole library: it may be a few seconds old.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.stores.columns import check_query, find_space, products
from footage.types import Embeddings, Hits, Space

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from footage.stores import Store
    from footage.types import Float32, Float64, Video

_BYTES = 192 << 20  # of vectors: some 30 hours of video at a sample a second, in one space of the starter
_WHOLE_BYTES = 64 << 20  # of one space: below, a matrix in memory answers faster than the files, and exactly
_OFTEN = 3  # searches after which it pays to gather them
_NOW = 0.25  # seconds for which a search that listed the videos need not ask for each of them again
_SECONDS = 5.0  # for which spaces and backgrounds are believed


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """All samples of one space: columns of length n, in the order of video id and time."""

    key: int  # of the videos that are in it
    ids: list[str]  # of the videos, sorted
    of: NDArray[np.intp]  # (n,) number of the video of each sample
    start: Float64
    end: Float64
    at: Float64
    rows: Float32  # (n, dim)

    @staticmethod
    def of_parts(key: int, parts: list[Embeddings]) -> _Whole:
        """Lay the samples of all videos one after the other."""
        of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        start, end, at = (np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "end", "at"))
        rows = np.concatenate([part.vectors for part in parts])
        return _Whole(key, [part.video_id for part in parts], of, start, end, at, rows)

    def best(self, scores: Float32, k: int) -> Hits:
        """The k best by scores (n,), equal ones in the order of video id and time, as every store has it."""
        top = np.argpartition(-scores, k - 1)[:k] if k < len(scores) else np.arange(len(scores))
        top = top[np.isfinite(scores[top])]
        top = top[np.lexsort((top, -scores[top]))]
        numbers: list[int] = self.of[top].tolist()
        ids = [self.ids[number] for number in numbers]
        clipped = np.clip(scores[top], -1.0, 1.0).astype(np.float32)
        return Hits(ids, self.start[top], self.end[top], self.at[top], clipped)


class CachedReads:
    """The reading half of a store. Safe to share between threads; sees what other processes write."""

    def __init__(self, store: Store, limit_bytes: int = _BYTES) -> None:
        self.store = store
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._vectors: OrderedDict[tuple[str, str, float], Embeddings] = OrderedDict()
        self._bytes = 0
        self._samples: dict[tuple[str, int], tuple[float, Float32]] = {}
        self._seen: tuple[float, dict[str, Video]] = (-_NOW, {})
        self._wholes: dict[str, _Whole] = {}
        self._gathering = threading.Lock()
        self._asked = 0
        self._spaces: tuple[float, list[Space]] = (0.0, [])

    def spaces(self) -> list[Space]:
        """The spaces, as of a few seconds ago."""
        told, spaces = self._spaces
        if not spaces or time.monotonic() - told > _SECONDS:
            spaces = self.store.spaces()
            self._spaces = (time.monotonic(), spaces)
        return spaces

    def search(
        self, space: str, vectors: Float32, k: int, *, videos: Collection[str] | None = None, exact: bool = False
    ) -> list[Hits]:
        """Find the k nearest samples: in memory where the whole space fits, which is exact, else in the store."""
        whole = self._whole(space)
        if whole is None:
            return self.store.search(space, vectors, k, videos=videos, exact=exact)
        queries = check_query(find_space(self.spaces(), space), vectors, k)
        scores = products(queries, whole.rows)
        if videos is not None:
            wanted = np.array([i in set(videos) for i in whole.ids], bool)[whole.of]
            scores[:, ~wanted] = -np.inf
        return [whole.best(row, k) for row in scores]

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video; the arrays are shared and must not be written to."""
        told, seen = self._seen
        video = seen.get(video_id) if time.monotonic() - told < _NOW else self.store.get(video_id)
        if video is None:
            return self.store.vectors(space, video_id)
        key = (space, video_id, video.indexed_at)
        with self._lock:
            found = self._vectors.get(key)
            if found is not None:
                self._vectors.move_to_end(key)
                return found
        found = self.store.vectors(space, video_id)
        if len(found) == video.samples:  # else it was replaced just now
            self._keep(key, found)
        return found

    def sample_vectors(self, space: str, n: int) -> Float32:
        """The background, as of a few seconds ago; shared, and not to be written to."""
        told, rows = self._samples.get((space, n), (0.0, None))
        if rows is None or time.monotonic() - told > _SECONDS:
            rows = self.store.sample_vectors(space, n)
            self._samples[space, n] = (time.monotonic(), rows)
        return rows

    def videos(self) -> list[Video]:
        """Ask the store, which remembers them by version."""
        videos = self.store.videos()
        self._seen = (time.monotonic(), {video.id: video for video in videos})
        return videos

    def get(self, video_id: str) -> Video | None:
        """Ask the store."""
        return self.store.get(video_id)

    def _whole(self, space: str) -> _Whole | None:
        """All visible samples of a space as one matrix, or None if they are many, or this process asks but once."""
        self._asked += 1
        dim = find_space(self.spaces(), space).dim
        told, seen = self._seen
        if time.monotonic() - told >= _NOW:
            self.videos()
            _, seen = self._seen
        if self._asked < _OFTEN or sum(v.samples for v in seen.values()) * dim * 4 > _WHOLE_BYTES or not seen:
            return None
        key = hash(frozenset((v.id, v.indexed_at) for v in seen.values()))
        known = self._wholes.get(space)
        if known is not None and known.key == key:
            return known
        with self._gathering:
            known = self._wholes.get(space)
            if known is None or known.key != key:
                parts = [self.vectors(space, video_id) for video_id in sorted(seen)]
                if any(len(part) != seen[part.video_id].samples for part in parts):
                    return None  # one was removed or replaced just now
                known = self._wholes[space] = _Whole.of_parts(key, parts)
            return known

    def _keep(self, key: tuple[str, str, float], rows: Embeddings) -> None:
        with self._lock:
            if key in self._vectors:
                return
            self._vectors[key] = rows
            self._bytes += rows.vectors.nbytes
            while self._bytes > self._limit and self._vectors:
                _, old = self._vectors.popitem(last=False)
                self._bytes -= old.vectors.nbytes
