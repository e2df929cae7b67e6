"""The library's vectors and videos in Milvus.

A video whose samples are being written has a row without a mark: what a killed run left is found by it. Samples are
numbered within their video, so that writing them again puts them in the same place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from contextlib import nullcontext
from functools import partial
from itertools import accumulate
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from footage.stores.columns import (
    by_path,
    check_dim,
    check_put,
    check_query,
    check_rows,
    check_same,
    no_embeddings,
    no_hits,
    own_copy,
    spread,
)
from footage.stores.milvus import tables
from footage.stores.milvus.collections import PAGE, Collections, parts
from footage.stores.milvus.indexes import better, chosen
from footage.stores.milvus.ledger import Known, Ledger
from footage.stores.milvus.link import Vanished
from footage.stores.milvus.samples import Samples, matrix
from footage.stores.milvus.tables import SUMMARY, Place, one_of
from footage.stores.milvus.texts import Texts
from footage.stores.texts import asked, by_time, grouped
from footage.types import Embeddings, Hits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from footage.stores.address import Access
    from footage.stores.milvus.link import Link
    from footage.types import Float32, Space, TextHit, TimedText, Video

T = TypeVar("T")
_PENDING_BYTES = 16 << 20  # rows held back until a commit, so that one request carries several videos


class MilvusStore:
    """The collections of one library. Safe to share between threads, not across a fork.

    Nothing is created before the first `create_space` or `commit`.
    """

    def __init__(self, link: Link, prefix: str, access: Access) -> None:
        self.link = link
        self._prefix = prefix
        self._access = access
        self._lock = RLock()
        self._collections = Collections(link)
        self._ledger = Ledger(link, self._collections, f"{prefix}videos")
        self._samples = Samples(link, self._collections, self._ledger)
        self._texts = Texts(link, self._collections, self._ledger, prefix)
        self._pending: list[Embeddings] = []
        self._pending_bytes = 0
        self._next: dict[tuple[str, str], int] = {}  # (space, video) -> number of its next row
        self._sums: dict[str, tuple[str, NDArray[Any], int]] = {}  # video -> space, sum and number of its samples
        self._strays: set[str] = set()  # videos of samples that no row tells of
        self._ledger.open()

    def writing(self) -> AbstractContextManager[None]:
        """Be the only one who writes: on a server by a lease; Milvus Lite is for one process anyway."""
        self.link.check()
        if self.link.able.lite:
            return nullcontext()
        self._ledger.create()
        return self._ledger.lease.held()

    # spaces

    def spaces(self) -> list[Space]:
        """The spaces of this store, in the order in which they were created."""
        return self._ledger.current().spaces()

    def create_space(self, space: Space) -> None:
        """Create a space; nothing happens if it exists with the same dimension."""
        check_dim(space)
        with self._lock:
            known = self._ledger.current()
            if space.name in known.places:
                return check_same(known.places[space.name].space, space)
            self._ledger.create()
            index = chosen(self.link.able, self._access.rows, self._access.index)
            order = max((place.order for place in known.places.values()), default=0) + 1
            place = Place(space, tables.new_collection(self._prefix, space.name), index.name, order)
            self._collections.create(place.collection, "vector", index.name, dim=tables.width(space))
            self._ledger.write([place.row])
            self._ledger.known.places[space.name] = place

    def drop_space(self, name: str) -> bool:
        """Remove a space with all its rows: first the row that makes it known; False if there is none of that name."""
        with self._lock:
            self._keep_pending([row for row in self._pending if row.space != name])
            place = self._ledger.current().places.get(name)
            if place is None:
                return False
            self._ledger.forget([tables.space_key(name)])
            self._ledger.known.places.pop(name, None)
            self._next = {key: value for key, value in self._next.items() if key[0] != name}
            self._collections.drop(place.collection)
            return True

    # writing

    def fill(self, rows: Sequence[Embeddings]) -> None:
        """Write the samples of whole videos to spaces; the rows of one video that fit a request appear together."""
        with self._lock:
            known = self._checked(rows)
            self._flush()
            self._ledger.mark_pending({row.video_id for row in rows} - known.videos.keys())
            for space in dict.fromkeys(row.space for row in rows):
                self._fill(known.place(space), [row for row in rows if row.space == space])
            if rows:
                self._ledger.write([])
                self._collections.to_files(only_if_many=True)

    def _fill(self, place: Place, rows: Sequence[Embeddings]) -> None:
        ids = list(dict.fromkeys(row.video_id for row in rows))
        before = dict.fromkeys(ids, 0)
        if self._samples.count(place, ids):
            before = {i: self._samples.count(place, [i]) for i in ids}
            if not self.link.able.upserts:  # they cannot be written over
                self._samples.remove(place, [i for i in ids if before[i]])
                before = dict.fromkeys(ids, 0)
        after = dict.fromkeys(ids, 0)
        numbered: list[tuple[Embeddings, int]] = []
        for row in rows:
            numbered.append((row, after[row.video_id]))
            after[row.video_id] += len(row)
        self._samples.write(place, numbered)
        for i in ids:
            self._next[place.space.name, i] = after[i]
            if after[i] < before[i]:
                self._samples.cut(place, i, after[i])

    def add(self, rows: Sequence[Embeddings]) -> None:
        """Write samples; they are held in memory, up to some megabytes, until the next commit."""
        with self._lock:
            self._checked(rows)
            for row in rows:
                if len(row):
                    self._pending.append(own_copy(row))
                    self._pending_bytes += row.vectors.nbytes
                    self._sum(row)
            if self._pending_bytes >= _PENDING_BYTES:
                self._flush()

    def commit(self, videos: Sequence[Video]) -> None:
        """Write or replace video rows, in one request; this makes their samples visible."""
        if not videos:
            return
        with self._lock:
            self._ledger.current()
            self._ledger.create()
            self._flush()
            rows = {video.id: video for video in videos}
            summaries = self._summaries(list(rows))
            self._ledger.write([tables.video_row(video, summaries[video.id]) for video in rows.values()])
            self._ledger.known.videos |= rows
            self._ledger.known.pending -= rows.keys()
            for video_id in rows:
                self._sums.pop(video_id, None)
            self._collections.to_files(only_if_many=True)

    def put(self, video: Video, rows: Sequence[Embeddings]) -> None:
        """Replace whatever is known of a video: delete, add, commit."""
        check_put(video, rows)
        with self._lock:
            self._checked(rows)
            self.delete([video.id], texts=False)
            self.add(rows)
            self.commit([video])

    def delete(self, video_ids: Collection[str], *, texts: bool = True) -> None:
        """Remove videos with all their samples and texts, the commit marks first; unknown ids are ignored."""
        with self._lock:
            known = self._ledger.current()
            self._drop_pending(set(video_ids))
            ids = sorted(set(video_ids) & (known.videos.keys() | known.pending | self._strays))
            if ids:
                self._ledger.hide(ids)
                self._remove(ids, texts=texts)

    def sweep(self) -> int:
        """Remove samples without a commit mark, and spaces that were not finished; returns how many samples."""
        with self._lock:
            self._ledger.lease.check()
            known = self._ledger.current(anew=True)
            visible = known.videos.keys()
            held = {row.video_id for row in self._pending} - visible
            swept = sum(len(row) for row in self._pending if row.video_id in held)
            self._drop_pending(held)
            ids = sorted((known.pending | self._strays) - visible)
            if ids:
                swept += sum(self._samples.count(place, ids) for place in known.places.values())
                self._remove(ids, texts=False)
            used = set(known.collections)
            ours = (f"{self._prefix}space_", f"{self._prefix}texts_")
            for collection in self.link.call("list_collections"):
                if collection.startswith(ours) and collection not in used:
                    self._collections.drop(collection)
            return swept

    def refresh(self) -> None:
        """Have what was written put into files; the server builds its indexes of them by itself."""
        with self._lock:
            self._ledger.current()
            self._flush()
            self._collections.to_files()

    def erase(self) -> None:
        """Drop all collections of this library, that of the videos first."""
        with self._lock:
            self._keep_pending([])
            names = [name for name in self.link.call("list_collections") if name.startswith(self._prefix)]
            for name in sorted(names, key=lambda name: name != self._ledger.name):
                self._collections.drop(name)
            self._ledger.forget_all()
            self._next, self._sums, self._strays = {}, {}, set()

    def close(self) -> None:
        """End the connection; rows that were added and not committed are dropped."""
        with self._lock:
            self._keep_pending([])
            self.link.close()

    # reading

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
        """Find the k nearest visible samples to each query; through the index unless `exact`, or k is very large."""
        del rough  # a graph that is searched less deeply gains little here
        return self._read(space, partial(self._search, vectors=vectors, k=k, videos=videos, exact=exact))

    def _search(
        self, known: Known, place: Place, *, vectors: Float32, k: int, videos: Collection[str] | None, exact: bool
    ) -> list[Hits]:
        queries = check_query(place.space, vectors, k)
        wanted = known.videos.keys() if videos is None else known.videos.keys() & set(videos)
        rows = sum(place.space.rows(known.videos[i]) for i in wanted)
        if not rows or not len(queries):
            return [no_hits() for _ in queries]
        if exact or k > PAGE:
            return self._samples.scan(known, place, queries, k, wanted)
        few = len(wanted) <= len(known.videos) - len(wanted)  # a long list costs time
        only = wanted if few else None
        without = set[str]() if few else (known.videos.keys() - wanted) | known.pending
        hits: list[Hits] = []
        for _ in range(4):
            hits = self._samples.nearest(known, place, queries, k, only=only, without=without)
            foreign = {i for found in hits for i in found.video_ids if i not in wanted}
            if not foreign:
                break
            without |= foreign  # an ingest is under way: ask again, without the rows that are not committed yet
        hits = [_only(found, wanted) for found in hits]
        if any(len(found) < min(k, rows) for found in hits):  # a graph may end early
            return self._samples.scan(known, place, queries, k, wanted)
        return hits

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video, by time; empty if there are none."""
        return self.vectors_of(space, [video_id])[0]

    def vectors_of(self, space: str, video_ids: Sequence[str]) -> list[Embeddings]:
        """What `vectors` gives for each of several videos; short ones share a request."""
        return self._read(space, partial(self._vectors, video_ids=video_ids))

    def _vectors(self, known: Known, place: Place, *, video_ids: Sequence[str]) -> list[Embeddings]:
        found = {i: no_embeddings(place.space, i) for i in video_ids}
        visible = [i for i in found if i in known.videos]
        pages = list(self._samples.pages(known, place, visible))
        if pages:
            ids = np.concatenate([page.ids for page in pages])
            start, end, at = (np.concatenate([getattr(page, name) for page in pages]) for name in tables.TIMES)
            together = np.concatenate([page.vectors for page in pages])
            for video_id in visible:
                mine = np.flatnonzero(ids == video_id)
                mine = mine[np.argsort(at[mine], kind="stable")]
                found[video_id] = Embeddings(
                    place.space.name, video_id, start[mine], end[mine], at[mine], together[mine]
                )
        return [found[i] for i in video_ids]

    def sample_vectors(self, space: str, n: int) -> Float32:
        """Up to n vectors of the space, evenly spread over its videos in the order of their ids."""
        return self._read(space, partial(self._spread, n=n))

    def _spread(self, known: Known, place: Place, *, n: int) -> Float32:
        ids = sorted(known.videos)
        ends = list(accumulate(place.space.rows(known.videos[i]) for i in ids))
        keys: list[int] = []
        for position in map(int, spread(ends[-1] if ends else 0, n)):
            which = bisect_right(ends, position)
            keys.append(tables.first_row(ids[which]) + position - (ends[which - 1] if which else 0))
        found = self._samples.numbered(known, place, keys)
        return matrix([found[key] for key in keys if key in found], place.space.dim)

    @property
    def keeps_texts(self) -> bool:
        """Whether it can: a server before 2.5 has no full text search."""
        return self.link.able.texts

    def put_texts(self, texts: Sequence[TimedText], of: Collection[tuple[str, str]] = ()) -> None:
        """Write timed texts in place of all that there are of the same videos and kinds."""
        groups = grouped(texts, of)
        with self._lock:
            known = self._ledger.current()
            if not any(groups.values()) and not known.texts:
                return
            self._texts.check()
            self._texts.create(known)
            self._ledger.mark_pending({video_id for video_id, _ in groups} - known.videos.keys())
            self._texts.put(self._ledger.known, groups)
            self._ledger.write([])
            self._collections.to_files(only_if_many=True)

    def search_texts(
        self, query: str, k: int, *, videos: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> list[TextHit]:
        """Find the k visible texts that answer the words best: by the server, in Milvus Lite by this process."""
        words = asked(query, k)
        self._texts.check()
        return self._anew(lambda known: self._texts.search(known, words, k, videos=videos, kinds=kinds))

    def texts(self, video_id: str) -> list[TimedText]:
        """All texts of one visible video, by time."""
        return sorted(self._anew(lambda known: self._texts.of(known, video_id)), key=by_time)

    def text_counts(self) -> dict[tuple[str, str], int]:
        """How many texts each video id has of each kind, committed or not; all of them are looked at."""
        found = self._texts.counts(self._ledger.current())
        known = self._ledger.current(anew=True)
        self._strays |= {video_id for video_id, _ in found} - known.videos.keys() - known.pending
        return found

    def videos(self) -> list[Video]:
        """All committed videos, in the order of their first path."""
        return sorted(self._ledger.current().videos.values(), key=by_path)

    def get(self, video_id: str) -> Video | None:
        """One committed video."""
        return self._ledger.current().videos.get(video_id)

    def counts(self, space: str) -> dict[str, int]:
        """How many rows of the space each video id has, committed or not; all of them are looked at."""
        with self._lock:
            place = self._ledger.current().place(space)
            self._flush()
        found = Counter(self._samples.videos(place))
        known = self._ledger.current(anew=True)
        self._strays |= found.keys() - known.videos.keys() - known.pending
        return dict(found)

    def outgrown(self, space: str, rows: int) -> str:
        """The index that a space of so many rows would get by now; one was chosen when it was made, and stays."""
        return better(self.link.able, self._ledger.current().place(space).index, rows, self._access.index)

    # inside

    def _read(self, space: str, work: Callable[[Known, Place], T]) -> T:
        """Read from a space; once more if another process dropped it, or made it anew, a moment ago."""
        return self._anew(lambda known: work(known, known.place(space)))

    def _anew(self, work: Callable[[Known], T]) -> T:
        try:
            return work(self._ledger.current())
        except Vanished:
            return work(self._ledger.current(anew=True))

    def _checked(self, rows: Sequence[Embeddings]) -> Known:
        known = self._ledger.current()
        for row in rows:
            check_rows(known.place(row.space).space, row)
        return known

    def _flush(self) -> None:
        """Write the samples that were held back."""
        known = self._ledger.known
        new = {row.video_id for row in self._pending} - known.pending - known.videos.keys()
        self._ledger.mark_pending(new)
        for space in dict.fromkeys(row.space for row in self._pending):
            place = known.place(space)
            after: dict[str, int] = {}
            numbered: list[tuple[Embeddings, int]] = []
            for row in (row for row in self._pending if row.space == space):
                key = (space, row.video_id)
                if key not in self._next:
                    self._next[key] = 0 if row.video_id in new else self._samples.count(place, [row.video_id])
                first = after.get(row.video_id, self._next[key])
                numbered.append((row, first))
                after[row.video_id] = first + len(row)
            self._samples.write(place, numbered)
            # only now: what failed half way is written again to the same places
            self._next |= {(space, video_id): number for video_id, number in after.items()}
            self._keep_pending([row for row in self._pending if row.space != space])

    def _remove(self, ids: Sequence[str], *, texts: bool) -> None:
        """Remove the samples and texts of videos that are not visible, then the rows that tell of them."""
        for place in self._ledger.known.places.values():
            self._samples.remove(place, ids)
        if texts:
            self._texts.remove(self._ledger.known, ids)
        self._ledger.forget([tables.video_key(i) for i in ids])
        gone = set(ids)
        self._ledger.known.pending -= gone
        self._strays -= gone
        self._next = {key: value for key, value in self._next.items() if key[1] not in gone}

    def _drop_pending(self, ids: set[str]) -> None:
        self._keep_pending([row for row in self._pending if row.video_id not in ids])
        for video_id in ids:
            self._sums.pop(video_id, None)

    def _keep_pending(self, rows: list[Embeddings]) -> None:
        self._pending = rows
        self._pending_bytes = sum(row.vectors.nbytes for row in rows)

    def _sum(self, rows: Embeddings) -> None:
        here: NDArray[Any] = rows.vectors.sum(axis=0, dtype=np.float64)
        known = self._sums.get(rows.video_id)
        if known is None:
            self._sums[rows.video_id] = (rows.space, here, len(rows))
        elif known[0] == rows.space:
            self._sums[rows.video_id] = (rows.space, known[1] + here, known[2] + len(rows))

    def _summaries(self, ids: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The summary of each video: of the samples that were added, or as it was."""
        out: dict[str, NDArray[Any]] = {i: np.zeros(SUMMARY) for i in ids}
        keys = {tables.video_key(i): i for i in ids if i not in self._sums and i in self._ledger.known.videos}
        for part in parts(list(keys)):
            for row in self._ledger.query(one_of("key", part), ["summary"]):
                out[keys[row["key"]]] = np.asarray(row["summary"], np.float64)
        for i in ids:
            if i in self._sums:
                _, total, n = self._sums[i]
                out[i] = tables.summarised(total / n)
        return out


def _only(hits: Hits, ids: Collection[str]) -> Hits:
    keep = np.array([i in ids for i in hits.video_ids], bool)
    if keep.all():
        return hits
    kept = [i for i in hits.video_ids if i in ids]
    return Hits(kept, hits.start[keep], hits.end[keep], hits.at[keep], hits.score[keep])
