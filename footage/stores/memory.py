"""The store that keeps nothing: exact, in numpy. What it answers is the meaning of "correct" for the others."""

from __future__ import annotations

from contextlib import nullcontext
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import StoreError
from footage.stores.columns import (
    Best,
    by_path,
    check_dim,
    check_put,
    check_query,
    check_rows,
    check_same,
    find_space,
    no_embeddings,
    own_copy,
    spread,
)
from footage.stores.texts import Corpus, asked, by_time, grouped
from footage.types import Embeddings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager

    from footage.types import Float32, Hits, Space, TextHit, TimedText, Video


class MemoryStore:
    """Vectors in arrays, videos in a dict. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._spaces: dict[str, Space] = {}
        self._rows: dict[str, list[Embeddings]] = {}
        self._videos: dict[str, Video] = {}
        self._texts: dict[tuple[str, str], list[TimedText]] = {}
        self._closed = False

    def writing(self) -> AbstractContextManager[None]:
        """Nobody else can: it is in this process."""
        return nullcontext()

    def spaces(self) -> list[Space]:
        """The spaces of this store, in the order in which they were created."""
        with self._open():
            return list(self._spaces.values())

    def create_space(self, space: Space) -> None:
        """Create a space; nothing happens if it exists with the same dimension."""
        check_dim(space)
        with self._open():
            if space.name in self._spaces:
                check_same(self._spaces[space.name], space)
                return
            self._spaces[space.name] = space
            self._rows[space.name] = []

    def drop_space(self, name: str) -> bool:
        """Remove a space with all its rows; False if there is none of that name."""
        with self._open():
            self._rows.pop(name, None)
            return self._spaces.pop(name, None) is not None

    def fill(self, rows: Sequence[Embeddings]) -> None:
        """Write the samples of whole videos to spaces, in place of what those spaces have of them."""
        with self._open():
            for row in rows:
                check_rows(self._space(row.space), row)
            fresh = {(row.space, row.video_id) for row in rows}
            for space in {row.space for row in rows}:
                self._rows[space] = [r for r in self._rows[space] if (space, r.video_id) not in fresh]
            self.add(rows)

    def add(self, rows: Sequence[Embeddings]) -> None:
        """Write samples; they stay invisible until their video is committed."""
        with self._open():
            for row in rows:
                check_rows(self._space(row.space), row)
            for row in rows:
                # copies, as a database makes them: the caller may use its arrays again
                self._rows[row.space].append(own_copy(row))

    def commit(self, videos: Sequence[Video]) -> None:
        """Write or replace video rows; this makes their samples visible."""
        with self._open():
            self._videos.update({video.id: video for video in videos})

    def put(self, video: Video, rows: Sequence[Embeddings]) -> None:
        """Replace whatever is known of a video."""
        check_put(video, rows)
        with self._open():
            for row in rows:
                check_rows(self._space(row.space), row)
            self.delete([video.id], texts=False)
            self.add(rows)
            self.commit([video])

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
        """Find the k nearest visible samples to each query; always exact."""
        del exact, rough
        with self._open():
            queries = check_query(self._space(space), vectors, k)
            wanted = self._videos.keys() if videos is None else self._videos.keys() & set(videos)
            rows = [row for row in self._rows[space] if row.video_id in wanted]
        rows = rows or [no_embeddings(self._space(space), "")]
        ids = np.concatenate([np.full(len(row), row.video_id, dtype=object) for row in rows])
        start, end, at = (np.concatenate([getattr(row, name) for row in rows]) for name in ("start", "end", "at"))
        scores = queries @ np.concatenate([row.vectors for row in rows]).T
        best = Best(len(queries), k)
        best.take(ids, start, end, at, scores)
        return best.hits()

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video, by time; empty if there are none."""
        with self._open():
            known = self._space(space)
            rows = [row for row in self._rows[space] if row.video_id == video_id and video_id in self._videos]
        if not rows:
            return no_embeddings(known, video_id)
        start, end, at = (np.concatenate([getattr(row, name) for row in rows]) for name in ("start", "end", "at"))
        order = np.argsort(at, kind="stable")
        vectors = np.concatenate([row.vectors for row in rows])[order]
        return Embeddings(space, video_id, start[order], end[order], at[order], vectors)

    def vectors_of(self, space: str, video_ids: Sequence[str]) -> list[Embeddings]:
        """What `vectors` gives for each of several videos."""
        return [self.vectors(space, video_id) for video_id in video_ids]

    def sample_vectors(self, space: str, n: int) -> Float32:
        """Up to n vectors of the space, evenly spread in the order of writing."""
        with self._open():
            empty = no_embeddings(self._space(space), "").vectors
            together = np.concatenate([empty, *(row.vectors for row in self._rows[space])])
        return together[spread(len(together), n)]

    @property
    def keeps_texts(self) -> bool:
        """It can."""
        return True

    def put_texts(self, texts: Sequence[TimedText], of: Collection[tuple[str, str]] = ()) -> None:
        """Write timed texts in place of all that there are of the same videos and kinds."""
        with self._open():
            self._texts |= grouped(texts, of)

    def search_texts(
        self, query: str, k: int, *, videos: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> list[TextHit]:
        """Find the k visible texts that answer the words best; always exact."""
        words = asked(query, k)
        with self._open():
            visible = [text for (i, _), texts in self._texts.items() if i in self._videos for text in texts]
        return Corpus(visible).search(words, k, videos, kinds)

    def texts(self, video_id: str) -> list[TimedText]:
        """All texts of one visible video, by time."""
        with self._open():
            mine = [t for (i, _), texts in self._texts.items() if i == video_id and i in self._videos for t in texts]
        return sorted(mine, key=by_time)

    def text_counts(self) -> dict[tuple[str, str], int]:
        """How many texts each video id has of each kind, committed or not."""
        with self._open():
            return {pair: len(texts) for pair, texts in self._texts.items() if texts}

    def videos(self) -> list[Video]:
        """All committed videos, in the order of their first path."""
        with self._open():
            return sorted(self._videos.values(), key=by_path)

    def get(self, video_id: str) -> Video | None:
        """One committed video."""
        with self._open():
            return self._videos.get(video_id)

    def delete(self, video_ids: Collection[str], *, texts: bool = True) -> None:
        """Remove videos with all their samples and texts; unknown ids are ignored."""
        gone = set(video_ids)
        with self._open():
            self._videos = {i: video for i, video in self._videos.items() if i not in gone}
            self._keep(self._ids() - gone)
            if texts:
                self._texts = {pair: found for pair, found in self._texts.items() if pair[0] not in gone}

    def counts(self, space: str) -> dict[str, int]:
        """How many rows of the space each video id has, committed or not."""
        with self._open():
            self._space(space)
            found: dict[str, int] = {}
            for row in self._rows[space]:
                if len(row):
                    found[row.video_id] = found.get(row.video_id, 0) + len(row)
            return found

    def outgrown(self, space: str, rows: int) -> str:
        """No index is ever outgrown: nothing has one."""
        return ""

    def sweep(self) -> int:
        """Remove samples without a commit mark; returns how many."""
        with self._open():
            before = self._count()
            self._keep(set(self._videos))
            return before - self._count()

    def refresh(self) -> None:
        """Nothing to bring in order."""
        with self._open():
            pass

    def erase(self) -> None:
        """Forget everything."""
        with self._open():
            self._spaces, self._rows, self._videos, self._texts = {}, {}, {}, {}

    def close(self) -> None:
        """Forget everything; the store cannot be used afterwards."""
        with self._lock:
            self._closed = True
            self._spaces, self._rows, self._videos, self._texts = {}, {}, {}, {}

    def _open(self) -> RLock:
        if self._closed:
            raise StoreError("the store is closed")
        return self._lock

    def _space(self, name: str) -> Space:
        return find_space(list(self._spaces.values()), name)

    def _ids(self) -> set[str]:
        return {row.video_id for rows in self._rows.values() for row in rows}

    def _count(self) -> int:
        return sum(len(row) for rows in self._rows.values() for row in rows)

    def _keep(self, ids: set[str]) -> None:
        self._rows = {name: [row for row in rows if row.video_id in ids] for name, rows in self._rows.items()}
