"""The library's vectors and videos in Milvus.

What is visible is read from the collection of videos as a whole, and believed until the row that changes with every
write says otherwise. Videos whose samples are being written have a row without a mark: what a killed run left is found
by it. Samples are numbered, so that writing them again puts them in the same place.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

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
    no_hits,
    own_copy,
    ranked,
    spread,
)
from footage.stores.milvus import tables
from footage.stores.milvus.indexes import KINDS, chosen
from footage.stores.milvus.tables import MARK, SUMMARY, TIMES, Place, one_of
from footage.types import Embeddings, Hits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from footage.stores.address import Access
    from footage.stores.milvus.link import Link
    from footage.types import Float32, Space, Video

_PENDING_BYTES = 16 << 20  # rows held back until a commit, so that one request carries several videos
_REQUEST_BYTES = 8 << 20  # of vectors; a server takes 64 MiB
_PAGE = 16_384  # rows that a server gives at once
_PAGE_BYTES = 16 << 20  # of vectors; a server gives 100 MiB
_HITS = 100_000  # that are asked for at once
_LITE_ROWS = 2_000  # after which Milvus Lite puts them into a file: in its memory each costs 0.1 ms a search
_PARTITIONS = 16
_FRESH = 10.0  # seconds for which a reader insists on what it knows to be written; later it is, everywhere
_STALE = 30.0  # seconds after which the videos are listed again, even if nothing says that they changed
_IDS = 1_000  # in one expression


@dataclass(slots=True)
class _Known:
    """What the collection of videos holds."""

    change: str = ""
    written: int = 0  # the server's time of the last samples
    read: float = 0.0  # when it was read
    videos: dict[str, Video] = field(default_factory=dict[str, "Video"])
    pending: set[str] = field(default_factory=set[str])  # videos that are being written, or removed
    places: dict[str, Place] = field(default_factory=dict[str, Place])

    def spaces(self) -> list[Space]:
        return [place.space for place in sorted(self.places.values(), key=lambda place: place.order)]


class MilvusStore:
    """The collections of one library. Safe to share between threads, not across a fork.

    Nothing is created before the first `create_space` or `commit`.
    """

    def __init__(self, link: Link, prefix: str, access: Access) -> None:
        self.link = link
        self._prefix = prefix
        self._access = access
        self._videos = f"{prefix}videos"
        self._lock = RLock()
        self._exists = False
        self._opened = False
        self._known = _Known()
        self._own = 0  # the server's time of the last change by this process
        self._insist_until = 0.0
        self._pending: list[Embeddings] = []
        self._pending_bytes = 0
        self._next: dict[tuple[str, str], int] = {}  # (space, video) -> number of its next row
        self._sums: dict[str, tuple[str, NDArray[Any], int]] = {}  # video -> space, sum and number of its samples
        self._unwritten: dict[str, int] = defaultdict(int)  # collection -> rows that Lite has in memory only
        self._strays: set[str] = set()  # ids of samples that no row tells of
        known = self._current()
        for collection in [self._videos, *(place.collection for place in known.places.values())] * self._exists:
            self._make_ready(collection)
        self._opened = True

    # spaces

    def spaces(self) -> list[Space]:
        """The spaces of this store, in the order in which they were created."""
        return self._current().spaces()

    def create_space(self, space: Space) -> None:
        """Create a space; nothing happens if it exists with the same dimension."""
        check_dim(space)
        with self._lock:
            known = self._current()
            if space.name in known.places:
                return check_same(known.places[space.name].space, space)
            self._create_videos()
            index = chosen(self.link.able, self._access.rows, self._access.index)
            order = max((place.order for place in known.places.values()), default=0) + 1
            place = Place(space, tables.new_collection(self._prefix, space.name), index.name, order)
            self._create(place.collection, "vector", index.name, dim=tables.width(space))
            self._write([place.row])
            self._known.places[space.name] = place

    def drop_space(self, name: str) -> bool:
        """Remove a space with all its rows: first the row that makes it known; False if there is none of that name."""
        with self._lock:
            self._pending = [row for row in self._pending if row.space != name]
            self._pending_bytes = sum(row.vectors.nbytes for row in self._pending)
            place = self._current().places.get(name)
            if place is None:
                return False
            self._forget([tables.space_key(name)])
            self._known.places.pop(name, None)
            self._next = {key: value for key, value in self._next.items() if key[0] != name}
            self._drop(place.collection)
            return True

    # writing

    def fill(self, rows: Sequence[Embeddings]) -> None:
        """Write the samples of whole videos to spaces; the rows of one video that fit a request appear together."""
        with self._lock:
            known = self._current()
            for row in rows:
                check_rows(self._place(row.space, known).space, row)
            self._flush()
            self._mark_pending({row.video_id for row in rows} - known.videos.keys())
            for space in dict.fromkeys(row.space for row in rows):
                place = self._place(space, known)
                mine = [row for row in rows if row.space == space]
                before = {row.video_id: 0 for row in mine}
                if self._count(place, before):
                    before = {video_id: self._count(place, [video_id]) for video_id in before}
                    if not self.link.able.upserts:
                        before = self._make_room(place, before)
                after: dict[str, int] = dict.fromkeys(before, 0)
                for row in mine:
                    self._next[space, row.video_id] = after[row.video_id]
                    after[row.video_id] += len(row)
                    self._upsert(place, [(row, self._next[space, row.video_id])])
                for video_id, n in after.items():
                    self._next[space, video_id] = n
                    if n < before[video_id]:
                        self._delete_rows(place, video_id, n)
            if rows:
                self._write([])

    def add(self, rows: Sequence[Embeddings]) -> None:
        """Write samples; they are held in memory, up to some megabytes, until the next commit."""
        with self._lock:
            known = self._current()
            for row in rows:
                check_rows(self._place(row.space, known).space, row)
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
            self._create_videos()
            self._flush()
            rows = {video.id: video for video in videos}
            summaries = self._summaries(list(rows))
            self._write([tables.video_row(video, summaries[video.id]) for video in rows.values()])
            self._known.videos |= rows
            self._known.pending -= rows.keys()
            for video_id in rows:
                self._sums.pop(video_id, None)
            self._spill()

    def put(self, video: Video, rows: Sequence[Embeddings]) -> None:
        """Replace whatever is known of a video: delete, add, commit."""
        check_put(video, rows)
        with self._lock:
            known = self._current()
            for row in rows:
                check_rows(self._place(row.space, known).space, row)
            self.delete([video.id])
            self.add(rows)
            self.commit([video])

    def delete(self, video_ids: Collection[str]) -> None:
        """Remove videos and all their samples, the commit marks first; unknown ids are ignored."""
        with self._lock:
            known = self._current()
            self._drop_pending(set(video_ids))
            ids = sorted(set(video_ids) & (known.videos.keys() | known.pending | self._strays))
            if ids:
                self._write([tables.pending_row(i) for i in ids if i in known.videos])
                self._known.pending |= known.videos.keys() & set(ids)
                for video_id in ids:
                    self._known.videos.pop(video_id, None)
                self._remove(ids)

    def sweep(self) -> int:
        """Remove rows without a commit mark, and spaces that were not finished; returns how many rows."""
        with self._lock:
            known = self._current(anew=True)
            visible = known.videos.keys()
            held = {row.video_id for row in self._pending} - visible
            swept = sum(len(row) for row in self._pending if row.video_id in held)
            self._drop_pending(held)
            if not self._exists:
                return swept
            ids = sorted((known.pending | self._strays) - visible)
            if ids:
                places = known.places.values()
                swept += sum(self._count(p, part) for p in places for part in _parts(ids))
                self._remove(ids)
            used = {self._videos, *(place.collection for place in known.places.values())}
            for collection in self.link.call("list_collections"):
                if collection.startswith(f"{self._prefix}space_") and collection not in used:
                    self._drop(collection)
            return swept

    def refresh(self) -> None:
        """Let the server put what was written into files, for which it builds indexes by itself."""
        with self._lock:
            self._current()
            self._flush()
            for collection in [name for name, rows in self._unwritten.items() if rows]:
                self._to_files(collection)

    def close(self) -> None:
        """End the connection; rows that were added and not committed are dropped."""
        with self._lock:
            self._pending, self._pending_bytes = [], 0
            self.link.close()

    # reading

    def search(
        self, space: str, vectors: Float32, k: int, *, videos: Collection[str] | None = None, exact: bool = False
    ) -> list[Hits]:
        """Find the k nearest visible samples to each query; through the index unless `exact`, or k is very large."""
        known = self._current()
        place = self._place(space, known)
        queries = check_query(place.space, vectors, k)
        wanted = known.videos.keys() if videos is None else known.videos.keys() & set(videos)
        rows = sum(place.space.rows(known.videos[i]) for i in wanted)
        if not rows or not len(queries):
            return [no_hits() for _ in queries]
        if exact or k > _PAGE:
            return self._scan(known, place, queries, k, wanted)
        few = len(wanted) <= len(known.videos) - len(wanted)  # a long list costs time
        only = wanted if few else None
        without = set[str]() if few else (known.videos.keys() - wanted) | known.pending
        hits: list[Hits] = []
        for _ in range(4):
            hits = self._nearest(known, place, queries, k, only, without)
            foreign = {i for found in hits for i in found.video_ids if i not in wanted}
            if not foreign:
                break
            without |= foreign  # an ingest is under way: ask again, without the rows that are not committed yet
        hits = [_only(found, wanted) for found in hits]
        if any(len(found) < min(k, rows) for found in hits):  # a graph may end early
            return self._scan(known, place, queries, k, wanted)
        return hits

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video, by time; empty if there are none."""
        known = self._current()
        place = self._place(space, known)
        if video_id not in known.videos:
            return no_embeddings(place.space, video_id)
        parts = list(self._pages(known, place, [video_id]))
        start, end, at, matrix = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3, 4))
        order = np.argsort(at, kind="stable")
        return Embeddings(space, video_id, start[order], end[order], at[order], matrix[order])

    def sample_vectors(self, space: str, n: int) -> Float32:
        """Up to n vectors of the space, evenly spread over its videos in the order of their ids."""
        known = self._current()
        place = self._place(space, known)
        ids = sorted(known.videos)
        counts = np.array([place.space.rows(known.videos[i]) for i in ids], np.int64)
        ends = np.cumsum(counts)
        positions = spread(int(ends[-1]) if len(ends) else 0, n)
        which = np.searchsorted(ends, positions, side="right")
        numbers = positions - (ends - counts)[which]
        keys = [tables.first_row(ids[w]) + int(number) for w, number in zip(which, numbers, strict=True)]
        found: dict[int, NDArray[Any]] = {}
        for part in _parts(keys, min(_IDS, self._page_rows(place))):
            where = f"pk in [{', '.join(map(str, part))}]"
            for row in self._query(known, place.collection, where, ["pk", "vector"]):
                found[int(row["pk"])] = row["vector"]
        return _matrix([found[key] for key in keys if key in found], place.space.dim)

    def videos(self) -> list[Video]:
        """All committed videos, in the order of their first path."""
        return sorted(self._current().videos.values(), key=by_path)

    def get(self, video_id: str) -> Video | None:
        """One committed video."""
        return self._current().videos.get(video_id)

    def counts(self, space: str) -> dict[str, int]:
        """How many rows of the space each video id has, committed or not; all of them are looked at."""
        with self._lock:
            place = self._place(space, self._current())
            self._flush()
        known = self._current(anew=True)
        found: dict[str, int] = defaultdict(int)
        for row in self._all(place.collection, ["video"]):
            found[tables.read_name(row["video"])] += 1
        self._strays |= found.keys() - known.videos.keys() - known.pending
        return dict(found)

    # what is there

    def _current(self, *, anew: bool = False) -> _Known:
        """What there is, read again when it changed."""
        self.link.check()
        if not self._exists:
            self._exists = bool(self.link.call("has_collection", self._videos))
            if not self._exists:
                return self._known
        if not self._opened:
            self._make_ready(self._videos)
        with self._lock:
            known = self._known
            if not anew and known.change and time.monotonic() - known.read < _STALE:
                mark = self._ask(self._videos, f'key == "{MARK}"', ["facts"], self._consistency(0))
                if mark and mark[0]["facts"]["change"] == known.change:
                    return known
            return self._read()

    def _read(self) -> _Known:
        known = _Known(read=time.monotonic())
        for row in self._all(self._videos, ["committed", "facts"]):
            key, facts = row["key"], row["facts"]
            if key == MARK:
                known.change, known.written = facts["change"], int(facts["written"])
            elif key.startswith("s"):
                place = tables.read_place(facts)
                known.places[place.space.name] = place
            elif row["committed"]:
                video = tables.read_video(facts)
                known.videos[video.id] = video
            else:
                known.pending.add(tables.read_name(key[1:]))
        if known.change != self._known.change:
            self._insist_until = time.monotonic() + _FRESH
        self._known = known
        return known

    def _place(self, name: str, known: _Known) -> Place:
        find_space(known.spaces(), name)
        return known.places[name]

    def _consistency(self, written: int) -> dict[str, Any]:
        """What a read insists on: for some seconds what is known to be written, then what is some seconds old."""
        if self.link.able.lite:
            return {}
        if not self._opened:
            return {"consistency_level": "Strong"}
        least = max(self._own, written)
        if least and time.monotonic() < self._insist_until:
            return {"consistency_level": "Customized", "guarantee_timestamp": least}
        return {"consistency_level": "Bounded"}

    # collections

    def _create_videos(self) -> None:
        if not self._exists:
            self._create(self._videos, "summary", "FLAT")
            self._exists = True
            self._write([])

    def _create(self, collection: str, vector: str, index: str, *, dim: int | None = None) -> None:
        types = self.link.types
        schema = self.link.plain("create_schema", auto_id=False, enable_dynamic_field=False)
        if dim is None:
            tables.video_fields(schema, types)
        else:
            tables.sample_fields(schema, types, dim)
        options = {"num_partitions": _PARTITIONS} if dim is not None else {}
        self.link.call(
            "create_collection", collection, schema=schema, num_shards=1, consistency_level="Bounded", **options
        )
        self._index(collection, vector, index)
        self.link.load(collection)

    def _index(self, collection: str, vector: str, index: str) -> None:
        params = self.link.plain("prepare_index_params")
        params.add_index(vector, index_type=index, metric_type="IP", params=dict(KINDS[index].build))
        self.link.call("create_index", collection, params, sync=False)

    def _make_ready(self, collection: str) -> None:
        """Load a collection that is not; also one whose maker was killed before it had an index."""
        if self.link.state(collection) == "Loaded":
            return
        if collection == self._videos and not self.link.call("list_indexes", collection):
            self._index(collection, "summary", "FLAT")
        self.link.load(collection)

    def _drop(self, collection: str) -> None:
        self._unwritten.pop(collection, None)
        self.link.call("drop_collection", collection)

    def _to_files(self, collection: str) -> None:
        self._unwritten.pop(collection, None)
        self.link.to_files(collection)

    def _spill(self) -> None:
        if self.link.able.lite:
            for collection in [name for name, rows in self._unwritten.items() if rows >= _LITE_ROWS]:
                self._to_files(collection)

    # writing, inside

    def _write(self, rows: list[dict[str, Any]]) -> None:
        """Write rows of the collection of videos, and with them, in one request, the one that changes with all."""
        known = self._known
        mark = self._ask(self._videos, f'key == "{MARK}"', ["facts"], self._consistency(0))
        if known.change and not (mark and mark[0]["facts"]["change"] == known.change):
            known.read = float("-inf")  # somebody else wrote too: list the videos again at the next question
        times = [self.link.written_at(place.collection) for place in known.places.values()]
        change = tables.change_row(max([known.written, *times]))
        self.link.call("upsert", self._videos, [*rows, change])
        known.change, known.written = change["facts"]["change"], change["facts"]["written"]
        self._own = self.link.written_at(self._videos)
        self._insist_until = time.monotonic() + _FRESH
        self._unwritten[self._videos] += len(rows) + 1

    def _forget(self, keys: Sequence[str]) -> None:
        """Remove rows of the collection of videos."""
        for part in _parts(keys):
            self.link.call("delete", self._videos, filter=one_of("key", part))
        self._write([])

    def _mark_pending(self, ids: Collection[str]) -> None:
        """Note that samples of these videos are being written; readers need not list anything anew for it."""
        fresh = sorted(set(ids) - self._known.pending)
        if fresh:
            self._create_videos()
            self.link.call("upsert", self._videos, [tables.pending_row(i) for i in fresh])
            self._known.pending |= set(fresh)

    def _flush(self) -> None:
        """Write the samples that were held back."""
        if not self._pending:
            return
        known = self._known
        before = known.pending | known.videos.keys()
        new = {row.video_id for row in self._pending} - before
        self._mark_pending(new)
        for space in dict.fromkeys(row.space for row in self._pending):
            place = self._place(space, known)
            numbered: list[tuple[Embeddings, int]] = []
            after = dict[str, int]()
            for row in (row for row in self._pending if row.space == space):
                first = after.get(row.video_id)
                if first is None:
                    first = self._next.get((space, row.video_id))
                if first is None:
                    first = 0 if row.video_id in new else self._count(place, [row.video_id])
                numbered.append((row, first))
                after[row.video_id] = first + len(row)
            self._upsert(place, numbered)
            # only now: what failed half way is written again to the same places
            self._next |= {(space, video_id): number for video_id, number in after.items()}
            self._pending = [row for row in self._pending if row.space != space]
        self._pending, self._pending_bytes = [], 0

    def _upsert(self, place: Place, numbered: Iterable[tuple[Embeddings, int]]) -> None:
        """Write samples under their numbers, in requests that a server takes."""
        most = max(1, _REQUEST_BYTES // (4 * tables.width(place.space)))
        batch: list[dict[str, Any]] = []
        for rows, first in numbered:
            key, video = tables.first_row(rows.video_id) + first, tables.spelled(rows.video_id)
            vectors = tables.widened(rows.vectors, tables.width(place.space))
            times = zip(*(getattr(rows, name).tolist() for name in TIMES), strict=True)
            for i, (start, end, at) in enumerate(times):
                batch.append(
                    {"pk": key + i, "video": video, "start": start, "end": end, "at": at, "vector": vectors[i]}
                )
                if len(batch) >= most:
                    self._send(place, batch)
                    batch = []
        if batch:
            self._send(place, batch)

    def _send(self, place: Place, batch: list[dict[str, Any]]) -> None:
        self.link.send(place.collection, batch)
        self._unwritten[place.collection] += len(batch)

    def _remove(self, ids: Sequence[str]) -> None:
        """Remove the samples of videos that are not visible, then the rows that tell of them."""
        for place in self._known.places.values():
            for part in _parts(ids):
                self.link.call("delete", place.collection, filter=one_of("video", map(tables.spelled, part)))
                self._unwritten[place.collection] += 1
        gone = set(ids)
        self._forget([tables.video_key(i) for i in ids])
        self._known.pending -= gone
        self._strays -= gone
        self._next = {key: value for key, value in self._next.items() if key[1] not in gone}

    def _make_room(self, place: Place, before: dict[str, int]) -> dict[str, int]:
        """Remove what a space has of videos, where it cannot be written over; returns what is left: nothing."""
        for video_id, n in before.items():
            if n:
                self._delete_rows(place, video_id, 0)
        return dict.fromkeys(before, 0)

    def _delete_rows(self, place: Place, video_id: str, first: int) -> None:
        where = f"{one_of('video', [tables.spelled(video_id)])} and pk >= {tables.first_row(video_id) + first}"
        self.link.call("delete", place.collection, filter=where)
        self._unwritten[place.collection] += 1

    def _drop_pending(self, ids: set[str]) -> None:
        self._pending = [row for row in self._pending if row.video_id not in ids]
        self._pending_bytes = sum(row.vectors.nbytes for row in self._pending)
        for video_id in ids:
            self._sums.pop(video_id, None)

    def _count(self, place: Place, ids: Iterable[str]) -> int:
        """How many rows a space has of these videos, everything that was written counted."""
        where = one_of("video", map(tables.spelled, ids))
        level = {} if self.link.able.lite else {"consistency_level": "Strong"}
        return int(self._ask(place.collection, where, ["count(*)"], level)[0]["count(*)"])

    # summaries

    def _sum(self, rows: Embeddings) -> None:
        space, total, n = self._sums.get(rows.video_id, (rows.space, np.zeros(rows.vectors.shape[1]), 0))
        if space == rows.space:
            self._sums[rows.video_id] = (space, total + rows.vectors.sum(axis=0, dtype=np.float64), n + len(rows))

    def _summaries(self, ids: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The summary of each video: of the samples that were added, or as it was."""
        out = {i: np.zeros(SUMMARY) for i in ids}
        keys = {tables.video_key(i): i for i in ids if i not in self._sums and i in self._known.videos}
        for part in _parts(list(keys)):
            for row in self._ask(self._videos, one_of("key", part), ["summary"], self._consistency(0)):
                out[keys[row["key"]]] = np.asarray(row["summary"], np.float64)
        for i in ids:
            if i in self._sums:
                _, total, n = self._sums[i]
                out[i] = tables.summarised(total / n)
        return out

    # reading, inside

    def _query(self, known: _Known, collection: str, where: str, fields: list[str]) -> list[Any]:
        return self._ask(collection, where, fields, self._consistency(known.written))

    def _ask(self, collection: str, where: str, fields: list[str], level: dict[str, Any]) -> list[Any]:
        limit = {} if fields == ["count(*)"] else {"limit": _PAGE}
        return self.link.call(
            "query", collection, filter=where, output_fields=fields, strict_float32=True, **limit, **level
        )

    def _all(self, collection: str, fields: list[str]) -> Iterator[Any]:
        """All rows of a collection, as they are now."""
        level = {} if self.link.able.lite else {"consistency_level": "Strong"}
        if collection == self._videos:
            level = self._consistency(0)
        rows = self._ask(collection, "", fields, level)
        if len(rows) < _PAGE:
            yield from rows
            return
        pages = self.link.call("query_iterator", collection, batch_size=_PAGE, output_fields=fields, **level)
        try:
            while rows := self.link.guarded(pages.next):
                yield from rows
        finally:
            self.link.guarded(pages.close)

    def _page_rows(self, place: Place) -> int:
        return max(1, min(_PAGE, _PAGE_BYTES // (4 * tables.width(place.space))))

    def _pages(
        self, known: _Known, place: Place, ids: Iterable[str]
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], Float32]]:
        """The samples of videos, page by page: ids, start, end, at and vectors; short videos share a page."""
        most = self._page_rows(place)
        group: list[str] = []
        held = 0
        for video_id in ids:
            n = place.space.rows(known.videos[video_id])
            if n >= most:
                yield from self._long(known, place, video_id, most)
                continue
            if held + n > most or len(group) >= _IDS:
                yield self._page(known, place, one_of("video", map(tables.spelled, group)))
                group, held = [], 0
            group.append(video_id)
            held += n
        if group:
            yield self._page(known, place, one_of("video", map(tables.spelled, group)))

    def _long(
        self, known: _Known, place: Place, video_id: str, most: int
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], Float32]]:
        first = tables.first_row(video_id)
        only = one_of("video", [tables.spelled(video_id)])
        while True:
            page = self._page(known, place, f"{only} and pk >= {first} and pk < {first + most}")
            yield page
            if len(page[0]) < most:
                return
            first += most

    def _page(
        self, known: _Known, place: Place, where: str
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], Float32]:
        rows = self._query(known, place.collection, where, ["pk", "video", *TIMES, "vector"])
        rows = sorted(rows, key=lambda row: row["pk"])
        ids = np.array([tables.read_name(row["video"]) for row in rows], dtype=object)
        start, end, at = (np.array([row[name] for row in rows], np.float64) for name in TIMES)
        return ids, start, end, at, _matrix([row["vector"] for row in rows], place.space.dim)

    def _scan(self, known: _Known, place: Place, queries: Float32, k: int, wanted: Collection[str]) -> list[Hits]:
        """Compare the queries with every sample of the wanted videos, here."""
        best = Best(len(queries), k)
        for ids, start, end, at, vectors in self._pages(known, place, sorted(wanted)):
            if len(ids):
                best.take(ids, start, end, at, queries @ vectors.T)
        return best.hits()

    def _nearest(
        self,
        known: _Known,
        place: Place,
        queries: Float32,
        k: int,
        only: Collection[str] | None,
        without: Collection[str],
    ) -> list[Hits]:
        """Let Milvus find the k nearest rows to each query."""
        parts = [one_of("video", map(tables.spelled, sorted(only)))] if only is not None else []
        parts += [one_of("video", map(tables.spelled, sorted(without))).replace(" in ", " not in ", 1)] * bool(without)
        wide = tables.widened(queries, tables.width(place.space))
        out: list[Hits] = []
        for part in _parts(range(len(queries)), max(1, _HITS // k)):
            found = self.link.call(
                "search",
                place.collection,
                wide[list(part)],
                filter=" and ".join(parts),
                limit=k,
                output_fields=["video", *TIMES],
                search_params={"metric_type": "IP", "params": KINDS[place.index].params(k)},
                **self._consistency(known.written),
            )
            out += [_hits(each) for each in found]
        return out


def _parts(values: Any, size: int = _IDS) -> Iterator[Any]:
    return (values[i : i + size] for i in range(0, len(values), size))


def _matrix(rows: Sequence[Any], dim: int) -> Float32:
    if not rows:
        return np.empty((0, dim), np.float32)
    return np.ascontiguousarray(np.asarray(rows, np.float32)[:, :dim])


def _hits(found: Iterable[Any]) -> Hits:
    rows = [(hit["entity"], hit["distance"]) for hit in found]
    ids = np.array([tables.read_name(entity["video"]) for entity, _ in rows], dtype=object)
    start, end, at = (np.array([entity[name] for entity, _ in rows], np.float64) for name in TIMES)
    return ranked(ids, start, end, at, np.array([distance for _, distance in rows], np.float32))


def _only(hits: Hits, ids: Collection[str]) -> Hits:
    keep = np.array([i in ids for i in hits.video_ids], bool)
    if keep.all():
        return hits
    kept = [i for i in hits.video_ids if i in ids]
    return Hits(kept, hits.start[keep], hits.end[keep], hits.at[keep], hits.score[keep])
