"""The embedded store: a directory of Lance tables (https://lance.org), which LanceDB opens too.

    videos.lance        one row a video: the commit marks
    space-NAME.lance    one row a sample: video_id, start, end, at, vector
    texts.lance         one row a timed text; there from the first one on

Vectors are kept as float16: half the disk, and the cosine of two unit vectors moves by less than 0.001.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

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
    no_hits,
    own_copy,
    ranked,
    spread,
)
from footage.stores.lance_table import Dataset, Rows, Schema, Table, door, new_session, pa, probed, quoted
from footage.stores.lance_texts import FILE, LanceTexts, kinds_filter
from footage.stores.texts import asked, grouped
from footage.types import Embeddings, Hits, MediaFile, Space, Video, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from footage.types import Float32, TextHit, TimedText

_PENDING_BYTES = 16 << 20  # rows held back until a commit: one file a commit instead of one a batch
_DROPPED = "dropped-"  # how the folder of a space begins from when it is dropped until it is gone
_TIDY_EVERY = 64  # commits
_FEW_ROWS = 2_000  # a filter that leaves fewer is answered from those rows alone, without the index
_REFINE_ROWS = 50  # the index knows vectors to 5 bits a dimension: its best are looked at in full, this many at least
_ROUGH_PARTS = 8  # of the index, which a rough search looks into: 16 found no more copies (`bench/copies.py align`)

_FILES = pa.list_(pa.struct([("path", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())]))
_VIDEO_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("files", _FILES),
        ("duration", pa.float64()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("fps", pa.float64()),
        ("codec", pa.string()),
        ("container", pa.string()),
        ("recorded_at", pa.float64()),
        ("samples", pa.int64()),
        ("sampling", pa.string()),
        ("has_audio", pa.bool_()),
        ("broken_at", pa.float64()),
        ("warning", pa.string()),
        ("indexed_at", pa.float64()),
    ]
)
_TIMES = ("start", "end", "at")


def _space_schema(dim: int) -> Schema:
    times = [(name, pa.float64()) for name in _TIMES]
    return pa.schema([("video_id", pa.string()), *times, ("vector", pa.list_(pa.float16(), dim))])


def _file_name(space: str) -> str:
    """Encode a space's name so that every file system keeps it apart from the others."""
    return "space-" + re.sub(r"[^a-z0-9._-]", lambda m: f"~{ord(m.group()):x}~", space) + ".lance"


def _described(meta: dict[str, Any]) -> Space:
    window = Window(**meta["window"]) if "window" in meta else None
    return Space(meta["name"], meta["dim"], tuple(meta["answers"]), window)


class LanceStore:
    """A library's vectors and videos in a directory. Safe to share between threads, not across a fork.

    Nothing is written before the first `create_space` or `commit`, so a library in a read-only place can be searched.
    """

    def __init__(self, uri: str | Path) -> None:
        self.path = Path(uri).absolute()
        with door(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise StoreError(f"not a directory: {self.path}", hint="give the library another path")
        self._session = new_session()
        self._tables: dict[str, Table] = {}
        self._lock = RLock()
        self._pid = os.getpid()
        self._closed = False
        self._pending: dict[str, list[Embeddings]] = {}
        self._pending_bytes = 0
        self._commits = 0
        self._ids: tuple[int, dict[str, int]] = (-1, {})
        self._known: tuple[int, dict[str, Video]] = (-1, {})
        self._texts = LanceTexts(partial(self._table, FILE))
        self._spaces()  # a damaged library, or one of another format, is told at once

    # spaces

    def writing(self) -> AbstractContextManager[None]:
        """Whoever has the library's directory has its lock, too, so there is nothing to take here."""
        return nullcontext()

    def spaces(self) -> list[Space]:
        """The spaces of this store, in the order in which they were created."""
        return [space for _, space in self._spaces()]

    def create_space(self, space: Space) -> None:
        """Create a space; nothing happens if it exists with the same dimension."""
        check_dim(space)
        known = self._spaces()
        for _, old in known:
            if old.name == space.name:
                return check_same(old, space)
        order = max((order for order, _ in known), default=0) + 1
        meta: dict[str, Any] = {"name": space.name, "dim": space.dim, "answers": list(space.answers), "order": order}
        if space.window is not None:
            meta["window"] = asdict(space.window)
        self._table(_file_name(space.name)).create(_space_schema(space.dim), meta)

    def drop_space(self, name: str) -> bool:
        """Remove a space with all its rows, by a rename; False if there is none of that name."""
        with self._lock:
            rows = self._pending.pop(name, [])
            self._pending_bytes -= sum(row.vectors.nbytes for row in rows)
            self._clear_dropped()
            table = self._tables.pop(_file_name(name), None) or self._space_table(name)
            found = table.exists()
            table.forget()
            self._tables.pop(_file_name(name), None)
            if found:
                # Its files go away after it has: a reader meets the whole space or none.
                with door(self.path):
                    (self.path / _file_name(name)).rename(self.path / f"{_DROPPED}{_file_name(name)}")
                self._clear_dropped()
            return found

    def _clear_dropped(self) -> None:
        for leftover in self.path.glob(f"{_DROPPED}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    # writing

    def fill(self, rows: Sequence[Embeddings]) -> None:
        """Write the samples of whole videos to spaces, in one version of each; a killed run leaves whole videos."""
        for row in rows:
            check_rows(self._space(row.space), row)
        self._flush()
        for space in dict.fromkeys(row.space for row in rows):
            mine = [row for row in rows if row.space == space and len(row)]
            table = self._space_table(space)
            table.delete("video_id", self._row_counts(space).keys() & {row.video_id for row in mine})
            if mine:
                table.append(_columns(mine))

    def add(self, rows: Sequence[Embeddings]) -> None:
        """Write samples; they are held in memory, up to some megabytes, until the next commit."""
        for row in rows:
            check_rows(self._space(row.space), row)
        with self._lock:
            for row in rows:
                self._pending.setdefault(row.space, []).append(own_copy(row))
                self._pending_bytes += row.vectors.nbytes
            if self._pending_bytes >= _PENDING_BYTES:
                self._flush()

    def commit(self, videos: Sequence[Video]) -> None:
        """Write or replace video rows, in one version; this makes their samples visible."""
        if not videos:
            return
        self._flush()
        table = self._video_table()
        if not table.exists():
            table.create(_VIDEO_SCHEMA, {})
        rows = {video.id: video for video in videos}
        columns = pa.Table.from_pylist([_row(video) for video in rows.values()], schema=_VIDEO_SCHEMA)
        if self._visible().keys().isdisjoint(rows):
            table.append(columns)  # a third of the time of an upsert
        else:
            table.upsert("id", columns)
        self._commits += 1
        if self._commits % _TIDY_EVERY == 0:  # a thousand small commits between two calls of refresh are no trouble
            for each in [table, *(self._space_table(space.name) for space in self.spaces())]:
                each.tidy(only_if_many=True)

    def put(self, video: Video, rows: Sequence[Embeddings]) -> None:
        """Replace whatever is known of a video: delete, add, commit."""
        check_put(video, rows)
        for row in rows:
            check_rows(self._space(row.space), row)
        self.delete([video.id], texts=False)
        self.add(rows)
        self.commit([video])

    def delete(self, video_ids: Collection[str], *, texts: bool = True) -> None:
        """Remove videos with all their samples and texts, the commit marks first; unknown ids are ignored."""
        ids = set(video_ids)
        with self._lock:
            self._keep_pending(lambda row: row.video_id not in ids)
        if self._video_table().exists():
            self._video_table().delete("id", ids)
        for space in self.spaces():
            self._space_table(space.name).delete("video_id", ids)
        if texts:
            self._texts.remove(ids)

    def outgrown(self, space: str, rows: int) -> str:
        """No index is ever outgrown: it grows with its space."""
        return ""

    def sweep(self) -> int:
        """Remove samples without a commit mark; returns how many."""
        self._clear_dropped()
        visible = self._visible()
        swept = sum(len(row) for rows in self._pending.values() for row in rows if row.video_id not in visible)
        with self._lock:
            self._keep_pending(lambda row: row.video_id in visible)
        for space in self.spaces():
            orphans = self.counts(space.name).keys() - visible.keys()
            swept += self._space_table(space.name).delete("video_id", orphans)
        return swept

    def refresh(self) -> None:
        """Compact small files, clean up old versions, build or extend the indexes."""
        self._flush()
        tables = [self._space_table(space.name) for space in self.spaces()]
        for table in tables:
            table.tidy()
            table.index()
        if self._video_table().exists():
            self._video_table().tidy()
        self._texts.refresh()

    def erase(self) -> None:
        """Remove the tables, the one of the videos first; the directory stays if there is something else in it."""
        with self._lock:
            self._pending, self._pending_bytes = {}, 0
            self._video_table()  # complains when closed
            for table in self._tables.values():
                table.forget()
            self._tables = {}
            self._ids, self._known = (-1, {}), (-1, {})
            with door(self.path):
                if not self.path.exists():
                    return
                for folder in [self.path / "videos.lance", self.path / FILE, *self.path.glob("space-*.lance")]:
                    if folder.exists():
                        gone = self.path / f"{_DROPPED}{folder.name}"
                        folder.rename(gone)
                        shutil.rmtree(gone)
                self._clear_dropped()
                if not any(self.path.iterdir()):
                    self.path.rmdir()

    def close(self) -> None:
        """Release files; rows that were added and not committed are dropped."""
        with self._lock:
            self._closed = True
            self._pending, self._pending_bytes = {}, 0
            for table in self._tables.values():
                table.forget()
            self._tables = {}

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
        """Find the k nearest visible samples to each query; approximate above the size at which an index is built."""
        queries = check_query(self._space(space), vectors, k)
        table = self._space_table(space)
        samples = self._visible()
        visible = samples.keys()
        wanted = visible if videos is None else visible & set(videos)
        if not wanted or not len(queries):
            return [no_hits() for _ in queries]
        where = None
        if len(wanted) < len(visible):
            rest = visible - wanted
            few, word = (wanted, "IN") if len(wanted) <= len(rest) else (rest, "NOT IN")  # a long list costs time
            where = f"video_id {word} ({quoted(sorted(few))})"
            if sum(samples[i] for i in wanted) <= _FEW_ROWS:
                where = f"video_id IN ({quoted(sorted(wanted))})"
                return table.read(partial(_scan, queries=queries, k=k, where=where))
        hits: list[Hits] = []
        probes = None if exact else probed(sum(samples.values()))
        for _ in range(4):
            hits = table.read(partial(_nearest, queries=queries, k=k, where=where, probes=probes, rough=rough))
            if all(wanted >= set(found.video_ids) for found in hits):
                break
            # an ingest is under way: ask again, without the rows that are not committed yet
            where = f"video_id NOT IN ({quoted(sorted(self._row_counts(space).keys() - wanted))})"
        return [_only(found, wanted) for found in hits]

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video, by time; empty if there are none."""
        return self.vectors_of(space, [video_id])[0]

    def vectors_of(self, space: str, video_ids: Sequence[str]) -> list[Embeddings]:
        """What `vectors` gives for each of several videos, in one read."""
        known, wanted = self._space(space), self._visible().keys() & set(video_ids)
        if not wanted:
            return [no_embeddings(known, video_id) for video_id in video_ids]
        where = f"video_id IN ({quoted(sorted(wanted))})"
        columns = ["video_id", *_TIMES, "vector"]
        table = self._space_table(space).read(lambda ds: ds.scanner(columns=columns, filter=where).to_table())
        coded = table["video_id"].combine_chunks().dictionary_encode()
        ids: dict[str, int] = {video_id: code for code, video_id in enumerate(coded.dictionary.to_pylist())}
        of, at = coded.indices.to_numpy(), _numpy(table, "at")
        order = np.lexsort((at, of))
        start, end, vectors = _numpy(table, "start"), _numpy(table, "end"), _matrix(table, known.dim)
        bounds = np.searchsorted(of[order], np.arange(len(ids) + 1))
        out: list[Embeddings] = []
        for video_id in video_ids:
            code = ids.get(video_id, -1)
            rows = order[bounds[code] : bounds[code + 1]] if code >= 0 else order[:0]
            out.append(Embeddings(space, video_id, start[rows], end[rows], at[rows], vectors[rows]))
        return out

    def sample_vectors(self, space: str, n: int) -> Float32:
        """Up to n vectors of the space, evenly spread in the order of writing."""
        known = self._space(space)
        table = self._space_table(space).read(
            lambda ds: ds.take(spread(ds.count_rows(), n).tolist(), columns=["vector"])
        )
        return _matrix(table, known.dim)

    @property
    def keeps_texts(self) -> bool:
        """It can."""
        return True

    def put_texts(self, texts: Sequence[TimedText], of: Collection[tuple[str, str]] = ()) -> None:
        """Write timed texts in place of all that there are of the same videos and kinds, in one version."""
        groups = grouped(texts, of)
        self._video_table()  # complains when closed
        if groups:
            self._texts.put(groups)

    def search_texts(
        self, query: str, k: int, *, videos: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> list[TextHit]:
        """Find the k visible texts that answer the words best; how rare a word is, is counted part by part."""
        words, visible = asked(query, k), self._visible().keys()
        wanted = visible if videos is None else visible & set(videos)
        return self._texts.search(words, k, wanted=wanted, visible=visible, kinds=kinds_filter(kinds))

    def texts(self, video_id: str) -> list[TimedText]:
        """All texts of one visible video, by time."""
        return self._texts.of(video_id) if video_id in self._visible() else []

    def text_counts(self) -> dict[tuple[str, str], int]:
        """How many texts each video id has of each kind, committed or not."""
        return self._texts.counts()

    def videos(self) -> list[Video]:
        """All committed videos, in the order of their first path."""
        return list(self._all_videos().values())

    def get(self, video_id: str) -> Video | None:
        """One committed video."""
        table = self._video_table()
        if video_id not in self._visible():
            return None

        def read(dataset: Dataset) -> Video | None:
            version, videos = self._known
            if dataset.version == version:
                return videos.get(video_id)
            # a writer asks between its commits: reading all rows anew each time would cost more with every video
            rows = _video_rows(dataset.scanner(filter=f"id = {quoted([video_id])}").to_table())
            return rows[-1] if rows else None

        return table.read(read)

    def counts(self, space: str) -> dict[str, int]:
        """How many rows of the space each video id has, committed or not."""
        self._space(space)
        self._flush()
        return self._row_counts(space)

    # inside

    def _row_counts(self, space: str) -> dict[str, int]:
        table = self._space_table(space).read(lambda dataset: dataset.scanner(columns=["video_id"]).to_table())
        return {pair["values"]: pair["counts"] for pair in table["video_id"].value_counts().to_pylist()}

    def _table(self, file: str) -> Table:
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed")
            if self._pid != os.getpid():  # Lance's threads do not live on in a forked child: it would wait for ever
                raise StoreError("the store was opened in another process", hint="open the library after the fork")
            if file not in self._tables:
                self._tables[file] = Table(self.path / file, self._session)
            return self._tables[file]

    def _video_table(self) -> Table:
        return self._table("videos.lance")

    def _space_table(self, name: str) -> Table:
        return self._table(_file_name(name))

    def _spaces(self) -> list[tuple[int, Space]]:
        self._video_table()  # complains when closed
        with door(self.path):
            files = sorted(path.name for path in self.path.glob("space-*.lance"))
        metas = [table.meta() for table in map(self._table, files) if table.exists()]
        found = [(m["order"], _described(m)) for m in metas]
        return sorted(found, key=lambda pair: pair[0])

    def _space(self, name: str) -> Space:
        return find_space(self.spaces(), name)

    def _visible(self) -> dict[str, int]:
        """The ids of the committed videos and their samples, read again only when their table has a new version."""
        table = self._video_table()
        if not table.exists():
            return {}

        def read(dataset: Dataset) -> dict[str, int]:
            version, samples = self._ids
            if dataset.version != version:
                rows = dataset.scanner(columns=["id", "samples"]).to_table()
                samples = dict(zip(rows["id"].to_pylist(), rows["samples"].to_pylist(), strict=True))
                self._ids = (dataset.version, samples)
            return samples

        return table.read(read)

    def _all_videos(self) -> dict[str, Video]:
        """In the order of their paths."""
        table = self._video_table()
        if not table.exists():
            return {}

        def read(dataset: Dataset) -> dict[str, Video]:
            version, videos = self._known
            if dataset.version != version:
                found = sorted(_video_rows(dataset.scanner().to_table()), key=by_path)
                videos = {video.id: video for video in found}
                self._known = (dataset.version, videos)
            return videos

        return table.read(read)

    def _flush(self) -> None:
        """Write the rows that were held back."""
        with self._lock:
            for space in list(self._pending):
                rows = [row for row in self._pending[space] if len(row)]
                if rows:
                    self._space_table(space).append(_columns(rows))
                self._pending_bytes -= sum(row.vectors.nbytes for row in self._pending.pop(space))

    def _keep_pending(self, keep: Callable[[Embeddings], bool]) -> None:
        self._pending = {space: [row for row in rows if keep(row)] for space, rows in self._pending.items()}
        self._pending_bytes = sum(row.vectors.nbytes for rows in self._pending.values() for row in rows)


def _row(video: Video) -> dict[str, Any]:
    files = [{"path": f.path, "size_bytes": f.size_bytes, "mtime_ns": f.mtime_ns} for f in video.files]
    return {name: getattr(video, name) for name in _VIDEO_SCHEMA.names} | {"files": files}


def _video_rows(table: Rows) -> list[Video]:
    # column by column: Arrow's own rows of nested dicts take five times as long, seconds at 10,000 videos
    columns: dict[str, list[Any]] = {n: table[n].to_pylist() for n in _VIDEO_SCHEMA.names if n != "files"}
    lists = table["files"].combine_chunks()
    flat = lists.flatten()
    parts = [flat.field(name).to_pylist() for name in ("path", "size_bytes", "mtime_ns")]
    files = [MediaFile(*each) for each in zip(*parts, strict=True)]
    ends = np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False)).tolist()
    found: list[Video] = []
    for first, last, values in zip([0, *ends], ends, zip(*columns.values(), strict=True), strict=False):
        found.append(Video(files=tuple(files[first:last]), **dict(zip(columns, values, strict=True))))
    return found


def _columns(rows: Sequence[Embeddings]) -> Rows:
    """Make one Arrow table of rows of one space."""
    dim = rows[0].vectors.shape[1]
    ids = pa.array([row.video_id for row in rows for _ in range(len(row))], pa.string())
    times = [pa.array(np.concatenate([getattr(row, name) for row in rows])) for name in _TIMES]
    flat = pa.array(np.concatenate([row.vectors for row in rows]).astype(np.float16).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, dim)
    return pa.Table.from_arrays([ids, *times, vectors], schema=_space_schema(dim))


def _numpy(table: Rows, name: str) -> Any:
    return table[name].to_numpy()


def _matrix(table: Rows, dim: int) -> Float32:
    chunks = [np.asarray(chunk.flatten()) for chunk in table["vector"].chunks]
    return np.concatenate([np.empty(0, np.float32), *chunks], dtype=np.float32).reshape(-1, dim)


def _scan(dataset: Dataset, queries: Float32, k: int, where: str) -> list[Hits]:
    """Compare the queries with every row that passes the filter; Lance itself would read all the others as well."""
    best = Best(len(queries), k)
    columns = ["video_id", *_TIMES, "vector"]
    for batch in dataset.scanner(columns=columns, filter=where, late_materialization=True).to_batches():
        rows = pa.Table.from_batches([batch])
        scores = queries @ _matrix(rows, queries.shape[1]).T
        best.take(_strings(rows, "video_id"), _numpy(rows, "start"), _numpy(rows, "end"), _numpy(rows, "at"), scores)
    return best.hits()


def _nearest(
    dataset: Dataset, queries: Float32, k: int, where: str | None, *, probes: int | None, rough: bool
) -> list[Hits]:
    """Let Lance find the k nearest rows to each query: in the index and in the rows that it does not hold yet."""
    nearest: dict[str, Any] = {
        "column": "vector",
        "q": queries.astype(np.float16),
        "k": k,
        "metric": "dot",  # the cosine, of unit vectors; unlike "cosine" it does not lose zero vectors
        "use_index": probes is not None,
    }
    if rough:
        nearest["nprobes"] = _ROUGH_PARTS
    else:
        nearest |= {"minimum_nprobes": probes, "refine_factor": max(2, -(-_REFINE_ROWS // k))}
    rows = dataset.scanner(
        columns=["query_index", "video_id", *_TIMES, "_distance"],
        nearest=nearest,
        filter=where,
        prefilter=True,
        disable_scoring_autoprojection=True,
    ).to_table()
    ids, which = _strings(rows, "video_id"), _numpy(rows, "query_index")
    start, end, at = (_numpy(rows, name) for name in _TIMES)
    score = 1.0 - _numpy(rows, "_distance")
    parts = [np.flatnonzero(which == query) for query in range(len(queries))]
    return [ranked(ids[part], start[part], end[part], at[part], score[part]) for part in parts]


def _only(hits: Hits, ids: AbstractSet[str]) -> Hits:
    if ids >= set(hits.video_ids):
        return hits
    keep = np.array([i in ids for i in hits.video_ids], bool)
    kept = [i for i in hits.video_ids if i in ids]
    return Hits(kept, hits.start[keep], hits.end[keep], hits.at[keep], hits.score[keep])


def _strings(rows: Rows, name: str) -> NDArray[Any]:
    return np.array(rows[name].to_pylist(), dtype=object)
