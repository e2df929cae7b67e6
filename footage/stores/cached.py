"""Reading through a memory: what many searches read again and again is kept, up to a size.

The samples of a video do not change while its record is the same one, so they are kept by video and time of indexing.
The background of a query is a statistic over the whole library: it may be a few seconds old.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from footage.types import Embeddings, Space

if TYPE_CHECKING:
    from collections.abc import Collection

    from footage.stores import Store
    from footage.types import Float32, Hits, Video

_BYTES = 192 << 20  # of vectors: some 30 hours of video at a sample a second, in one space of the starter
_NOW = 0.25  # seconds for which a search that listed the videos need not ask for each of them again
_SECONDS = 5.0  # for which spaces and backgrounds are believed


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
        """Ask the store."""
        return self.store.search(space, vectors, k, videos=videos, exact=exact)

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

    def _keep(self, key: tuple[str, str, float], rows: Embeddings) -> None:
        with self._lock:
            if key in self._vectors:
                return
            self._vectors[key] = rows
            self._bytes += rows.vectors.nbytes
            while self._bytes > self._limit and self._vectors:
                _, old = self._vectors.popitem(last=False)
                self._bytes -= old.vectors.nbytes
