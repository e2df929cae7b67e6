"""Reading through a memory: what many searches read again and again is kept, up to a size.

The samples of a video do not change while its record is the same one, so they are kept by video and time of indexing.
The background of a query is a statistic over the whole library: it may be a few seconds old.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from footage.stores.columns import check_query, find_space, products
from footage.types import Embeddings, Hits, Space

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from footage.stores import Store
    from footage.types import Float32, Float64, Video

T = TypeVar("T")
_BYTES = 192 << 20  # of vectors: some 30 hours of video at a sample a second, in one space of the starter
_WHOLE_BYTES = 64 << 20  # of one space: below, a matrix in memory answers faster than the files, and exactly
_TOGETHER = 16  # queries that are asked at once by several people; a clip alone has more
_BLOCK = 512  # rows, of some 1.3 MB: they stay near the processor while all queries are compared with them
_OFTEN = 3  # searches after which it pays to gather them
_NOW = 0.25  # seconds for which a search that listed the videos need not ask again
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
    parts: dict[tuple[str, float], Embeddings]  # id and time of indexing of a video -> its part of the columns

    @staticmethod
    def of_parts(key: int, parts: dict[tuple[str, float], Embeddings]) -> _Whole:
        """Lay the samples of all videos one after the other."""
        each = list(parts.values())
        of = np.repeat(np.arange(len(each)), [len(part) for part in each])
        start, end, at = (np.concatenate([getattr(part, name) for part in each]) for name in ("start", "end", "at"))
        rows = np.concatenate([part.vectors for part in each])
        views: dict[tuple[str, float], Embeddings] = {}
        first = 0
        for name, part in parts.items():
            here = slice(first, first + len(part))
            views[name] = Embeddings(part.space, part.video_id, start[here], end[here], at[here], rows[here])
            first = here.stop
        return _Whole(key, [part.video_id for part in each], of, start, end, at, rows, views)

    def best(self, scores: Float32, k: int) -> Hits:
        """The k best by scores (n,), equal ones in the order of video id and time, as every store has it."""
        top = np.argpartition(-scores, k - 1)[:k] if k < len(scores) else np.arange(len(scores))
        top = top[np.isfinite(scores[top])]
        top = top[np.lexsort((top, -scores[top]))]
        numbers: list[int] = self.of[top].tolist()
        ids = [self.ids[number] for number in numbers]
        clipped = np.clip(scores[top], -1.0, 1.0).astype(np.float32)
        return Hits(ids, self.start[top], self.end[top], self.at[top], clipped)


def _scores(queries: Float32, rows: Float32) -> Float32:
    """The cosines of queries (q, dim) with rows (n, dim): float32 (q, n).

    What a query gets does not depend, to the last digit, on the queries beside it: a product of two matrices would
    differ, so each query is multiplied alone, with so few rows at a time that these are read from memory but once.
    """
    if len(queries) > _TOGETHER:
        return products(queries, rows)
    out = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), _BLOCK):
        for line, query in zip(out, queries, strict=True):
            np.dot(rows[start : start + _BLOCK], query, out=line[start : start + _BLOCK])
    return out


class _Believed(Generic[T]):
    """Something that is asked for again once it is old; whoever comes while it is asked for gets the old one.

    A store that is being written to may keep a question waiting, and not everybody need wait for one answer.
    """

    def __init__(self) -> None:
        self._told: tuple[float, T, int] | None = None
        self._asking = threading.Lock()
        self._changes = 0

    def forget(self) -> None:
        """Believe nothing that was asked for before now, not even by somebody who still waits for the answer."""
        self._changes += 1

    def get(self, ask: Callable[[], T], seconds: float = 0.0) -> T:
        """What is believed for so many seconds, or is asked for now."""
        told = self._told if self._told is not None and self._told[2] == self._changes else None
        if told is not None and (time.monotonic() - told[0] < seconds or not self._asking.acquire(blocking=False)):
            return told[1]
        if told is None:
            self._asking.acquire()
        try:
            changes, now = self._changes, time.monotonic()  # what is written while it is asked for may be missing
            value = ask()
            self._told = (now, value, changes)
            return value
        finally:
            self._asking.release()


@dataclass(frozen=True, slots=True, eq=False)
class _Listing:
    """The visible videos, in the order of the store."""

    order: list[Video]
    videos: dict[str, Video]
    key: int  # changes with what is indexed

    @staticmethod
    def of(videos: list[Video], known: _Listing | None = None) -> _Listing:
        """Of the same videos as before it is the same."""
        if known is not None and known.order == videos:
            return known
        key = hash(frozenset((video.id, video.indexed_at) for video in videos))
        return _Listing(videos, {video.id: video for video in videos}, key)


def _size_bytes(space: Space, listing: _Listing) -> int:
    return sum(space.rows(video) for video in listing.videos.values()) * space.dim * 4


class CachedReads:
    """The reading half of a store. Safe to share between threads; sees what other processes write."""

    def __init__(self, store: Store, limit_bytes: int = _BYTES) -> None:
        self.store = store
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._vectors: OrderedDict[tuple[str, str, float], Embeddings] = OrderedDict()
        self._bytes = 0
        self._samples: dict[tuple[str, int], _Believed[Float32]] = {}
        self._listing: _Believed[_Listing] = _Believed()
        self._last: _Listing | None = None
        self._wholes: dict[str, _Whole] = {}
        self._gathering = threading.Lock()
        self._asked = 0
        self._spaces: _Believed[list[Space]] = _Believed()

    def changed(self) -> None:
        """Whoever asks from now on sees what this process has just written."""
        self._listing.forget()

    def spaces(self) -> list[Space]:
        """The spaces, as of a few seconds ago."""
        return self._spaces.get(self.store.spaces, _SECONDS)

    def search(
        self,
        space: str,
        vectors: Float32,
        k: int,
        *,
        videos: Collection[str] | None = None,
        exact: bool = False,
        rough: bool = False,
    ) -> list[Hits]:
        """Find the k nearest samples: in memory where the whole space fits, which is exact, else in the store."""
        whole = self._whole(space)
        if whole is None:
            return self.store.search(space, vectors, k, videos=videos, exact=exact, rough=rough)
        queries = check_query(find_space(self.spaces(), space), vectors, k)
        scores = _scores(queries, whole.rows)
        if videos is not None:
            allowed = set(videos)
            wanted = np.array([i in allowed for i in whole.ids], bool)[whole.of]
            scores[:, ~wanted] = -np.inf
        return [whole.best(row, k) for row in scores]

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video; the arrays are shared and must not be written to."""
        return self.vectors_of(space, [video_id])[0]

    def vectors_of(self, space: str, video_ids: Sequence[str]) -> list[Embeddings]:
        """What `vectors` gives for each of several videos; what is not in memory is read at once."""
        videos = self._list(_NOW).videos
        found = {i: part for i in video_ids if (part := self._known(space, i, videos.get(i))) is not None}
        missing = [i for i in dict.fromkeys(video_ids) if i not in found]
        if missing:
            rows = find_space(self.spaces(), space).rows
            for part in self.store.vectors_of(space, missing):
                found[part.video_id] = part
                video = videos.get(part.video_id)
                if video is not None and len(part) == rows(video):  # else it was replaced just now
                    self._keep((space, video.id, video.indexed_at), part)
        return [found[i] for i in video_ids]

    def _known(self, space: str, video_id: str, video: Video | None) -> Embeddings | None:
        """What is in memory of a video."""
        if video is None:
            return None
        whole = self._wholes.get(space)
        if whole is not None and (part := whole.parts.get((video_id, video.indexed_at))) is not None:
            return part
        key = (space, video_id, video.indexed_at)
        with self._lock:
            found = self._vectors.get(key)
            if found is not None:
                self._vectors.move_to_end(key)
        return found

    def sample_vectors(self, space: str, n: int) -> Float32:
        """The background, as of a few seconds ago; shared, and not to be written to."""
        believed = self._samples.setdefault((space, n), _Believed())
        return believed.get(lambda: self.store.sample_vectors(space, n), _SECONDS)

    def videos(self) -> list[Video]:
        """Ask the store, which remembers them by version."""
        return list(self._list().order)

    def get(self, video_id: str) -> Video | None:
        """Ask the store."""
        return self.store.get(video_id)

    def _whole(self, space: str) -> _Whole | None:
        """All visible samples of a space as one matrix, or None if they are many, or this process asks but once."""
        self._asked += 1
        known_space = find_space(self.spaces(), space)
        listing = self._list(_NOW)
        if self._asked < _OFTEN or not listing.videos or _size_bytes(known_space, listing) > _WHOLE_BYTES:
            self._wholes.pop(space, None)
            return None
        known = self._wholes.get(space)
        if known is not None and known.key == listing.key:
            return known
        # While somebody gathers, what was there before will do: a video is found a moment later.
        if not self._gathering.acquire(blocking=known is None):
            return known
        try:
            known = self._wholes.get(space)
            return known if known is not None and known.key == listing.key else self._gather(space, listing)
        finally:
            self._gathering.release()

    def _gather(self, space: str, listing: _Listing) -> _Whole | None:
        seen = listing.videos
        parts = {(part.video_id, seen[part.video_id].indexed_at): part for part in self.vectors_of(space, sorted(seen))}
        rows = find_space(self.spaces(), space).rows
        if any(len(part) != rows(seen[part.video_id]) for part in parts.values()):
            return None  # one was removed or replaced just now
        whole = self._wholes[space] = _Whole.of_parts(listing.key, parts)
        with self._lock:  # they lie in the matrix now
            for video_id, indexed_at in parts:
                old = self._vectors.pop((space, video_id, indexed_at), None)
                self._bytes -= old.vectors.nbytes if old is not None else 0
        return whole

    def _list(self, seconds: float = 0.0) -> _Listing:
        def ask() -> _Listing:
            self._last = _Listing.of(self.store.videos(), self._last)
            return self._last

        return self._listing.get(ask, seconds)

    def _keep(self, key: tuple[str, str, float], rows: Embeddings) -> None:
        with self._lock:
            if key in self._vectors:
                return
            self._vectors[key] = rows
            self._bytes += rows.vectors.nbytes
            while self._bytes > self._limit and self._vectors:
                _, old = self._vectors.popitem(last=False)
                self._bytes -= old.vectors.nbytes
