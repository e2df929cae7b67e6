"""The embedded store: a directory of Lance tables (https://lance.org), which LanceDB opens too.

    videos.lance        one row a video: the commit marks
    space-NAME.lance    one row a sample: video_id, start, end, at, vector

Lance keeps every version of a table until it is cleaned up, and a reader works on one version, so searches go on while
another process writes. This is the only file that knows `lance`; its errors are mapped here and nowhere else.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import lance as _lance
import numpy as np
import pyarrow as _arrow  # pyright: ignore[reportMissingTypeStubs]

from footage.errors import SpaceMismatch, StoreError, StoreUnavailable
from footage.stores.columns import (
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
from footage.types import Embeddings, Hits, MediaFile, Space, Video

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Sequence

    from footage.types import Float32

T = TypeVar("T")
lance, pa = cast("Any", _lance), cast("Any", _arrow)  # both are only partly typed
Dataset: TypeAlias = Any  # lance.LanceDataset
Table: TypeAlias = Any  # pyarrow.Table
Schema: TypeAlias = Any  # pyarrow.Schema

FORMAT = 1
_META = b"footage"
_VIDEOS = "videos"
_PENDING_BYTES = 16 << 20  # rows held back until a commit: one file a commit instead of one a batch
_INDEX_CACHE_BYTES = 2 << 30  # an upper limit: the index of 1 M vectors takes about a tenth of it
_KEEP_VERSIONS = timedelta(minutes=5)  # a reader works on one version for the time of one call

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
    return pa.schema([("video_id", pa.string()), *times, ("vector", pa.list_(pa.float32(), dim))])


def _mapped(error: BaseException, path: Path) -> StoreError:
    """Say what went wrong in our words; `error` is the only source, for Lance raises plain ValueError and OSError."""
    text = str(error)
    if "os error 28" in text or "os error 122" in text or "os error 27" in text or "No space left" in text:
        return StoreError(f"no space left for the library: {path}", hint="free some space and run the command again")
    if "os error 13" in text or "os error 30" in text or "os error 1)" in text:
        return StoreError(f"the library cannot be written: {path}", hint="check the permissions of that directory")
    if "onflict" in text or "Too many concurrent writers" in text:
        return StoreUnavailable(f"another process wrote to the library: {path}", hint="run the command again")
    reason = re.split(r", /|\n", text)[0]
    return StoreError(f"the library is damaged: {path}: {reason}", hint="run `footage doctor --repair`")


@contextmanager
def _door(path: Path) -> Generator[None]:
    """Map what Lance and Arrow raise to our errors."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError, NotImplementedError, pa.ArrowException) as error:
        raise _mapped(error, path) from error


def _vanished(error: Exception) -> bool:
    """Tell whether a reader's files were cleaned up under its feet."""
    return "Not found" in str(error) or "os error 2)" in str(error)


def _quoted(ids: Iterable[str]) -> str:
    return ", ".join("'" + i.replace("'", "''") + "'" for i in ids)


class _Table:
    """One Lance dataset; follows its newest version."""

    def __init__(self, path: Path, session: Any) -> None:
        self.path = path
        self._session = session
        self._dataset: Dataset | None = None
        self._lock = RLock()

    def exists(self) -> bool:
        """Tell whether it was created: its directory may lie there without, after a crash in `create`."""
        return self._dataset is not None or (self.path.exists() and not self._unborn())

    def create(self, schema: Schema, meta: dict[str, Any]) -> None:
        """Create it, empty."""
        schema = schema.with_metadata({_META: json.dumps({"format": FORMAT, **meta}).encode()})
        with _door(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lance.write_dataset(schema.empty_table(), str(self.path), mode="create")

    def latest(self) -> Dataset:
        """Open the newest version; unmapped errors, to be called inside a door."""
        with self._lock:
            dataset = self._dataset
            if dataset is not None:
                version = dataset.latest_version
                # a new handle: others may be reading through the old one
                dataset = dataset if dataset.version == version else dataset.checkout_version(version)
            else:
                dataset = lance.dataset(str(self.path), session=self._session)
                self._meta(dataset)
            self._dataset = dataset
            return dataset

    def meta(self) -> dict[str, Any]:
        """What was written at creation."""
        return self.read(self._meta)

    def read(self, work: Callable[[Dataset], T]) -> T:
        """Do something with the newest version, again if its files were cleaned up meanwhile."""
        with _door(self.path):
            for _ in range(3):
                try:
                    return work(self.latest())
                except (OSError, ValueError, RuntimeError) as error:
                    if not _vanished(error):
                        raise
                    self.forget()
            return work(self.latest())

    def append(self, table: Table) -> None:
        """Add rows as one new version."""
        with _door(self.path), self._lock:
            self._dataset = lance.write_dataset(table, self.latest(), mode="append")

    def delete(self, column: str, ids: Collection[str]) -> int:
        """Delete rows by id; returns how many there were."""
        if not ids:
            return 0
        where = f"{column} IN ({_quoted(sorted(ids))})"
        with _door(self.path), self._lock:
            dataset = self.latest()
            count = dataset.count_rows(filter=where)
            if count:
                dataset.delete(where)
            return count

    def forget(self) -> None:
        """Close the handle."""
        with self._lock:
            self._dataset = None

    def _unborn(self) -> bool:
        return self.path.is_dir() and not any(self.path.glob("_versions/*")) and not any(self.path.glob("data/*"))

    def _meta(self, dataset: Dataset) -> dict[str, Any]:
        raw = cast("dict[bytes, bytes]", dataset.schema.metadata or {}).get(_META)
        if raw is None:
            raise StoreError(f"not a library of Footage, or a damaged one: {self.path}")
        meta = cast("dict[str, Any]", json.loads(raw))
        if meta.get("format") != FORMAT:
            raise SpaceMismatch(
                f"the library has format {meta.get('format')}, this Footage reads {FORMAT}: {self.path}",
                hint="use the version of Footage that made it, or index again into a new library",
            )
        return meta


def _file_name(space: str) -> str:
    """Encode a space's name so that every file system keeps it apart from the others."""
    return "space-" + re.sub(r"[^a-z0-9._-]", lambda m: f"~{ord(m.group()):x}~", space) + ".lance"


class LanceStore:
    """A library's vectors and videos in a directory. Safe to share between threads, not across a fork.

    Nothing is written before the first `create_space` or `commit`, so a library in a read-only place can be searched.
    """

    def __init__(self, uri: str | Path) -> None:
        self.path = Path(uri).absolute()
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"not a directory: {self.path}", hint="give the library another path")
        self._session = lance.Session(index_cache_size_bytes=_INDEX_CACHE_BYTES)
        self._tables: dict[str, _Table] = {}
        self._lock = RLock()
        self._pid = os.getpid()
        self._closed = False
        self._pending: dict[str, list[Embeddings]] = {}
        self._pending_bytes = 0
        self._ids: tuple[int, frozenset[str]] = (-1, frozenset())
        self._known: tuple[int, dict[str, Video]] = (-1, {})
        table = self._video_table()
        if table.exists():
            table.meta()

    # spaces

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
        meta = {"name": space.name, "dim": space.dim, "answers": list(space.answers), "order": order}
        self._table(_file_name(space.name)).create(_space_schema(space.dim), meta)

    # writing

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
        known = self._visible()
        columns = pa.Table.from_pylist([_row(video) for video in rows.values()], schema=_VIDEO_SCHEMA)
        if known.isdisjoint(rows):
            return table.append(columns)
        with _door(table.path):
            merge = table.latest().merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(columns)

    def put(self, video: Video, rows: Sequence[Embeddings]) -> None:
        """Replace whatever is known of a video: delete, add, commit."""
        check_put(video, rows)
        for row in rows:
            check_rows(self._space(row.space), row)
        self.delete([video.id])
        self.add(rows)
        self.commit([video])

    def delete(self, video_ids: Collection[str]) -> None:
        """Remove videos and all their samples, the commit marks first; unknown ids are ignored."""
        ids = set(video_ids)
        with self._lock:
            self._keep_pending(lambda row: row.video_id not in ids)
        if self._video_table().exists():
            self._video_table().delete("id", ids)
        for space in self.spaces():
            self._space_table(space.name).delete("video_id", ids)

    def sweep(self) -> int:
        """Remove rows without a commit mark; returns how many."""
        visible = self._visible()
        swept = sum(len(row) for rows in self._pending.values() for row in rows if row.video_id not in visible)
        with self._lock:
            self._keep_pending(lambda row: row.video_id in visible)
        for space in self.spaces():
            orphans = self.counts(space.name).keys() - visible
            swept += self._space_table(space.name).delete("video_id", orphans)
        return swept

    def refresh(self) -> None:
        """Compact small files, clean up old versions, build or extend the indexes."""
        self._flush()
        tables = [self._space_table(space.name) for space in self.spaces()]
        for table in [self._video_table(), *tables]:
            if table.exists():
                with _door(table.path):
                    dataset = table.latest()
                    dataset.optimize.compact_files()
                    dataset.cleanup_old_versions(_KEEP_VERSIONS)

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
        self, space: str, vectors: Float32, k: int, *, videos: Collection[str] | None = None, exact: bool = False
    ) -> list[Hits]:
        """Find the k nearest visible samples to each query; approximate above the size at which an index is built."""
        queries = check_query(self._space(space), vectors, k)
        visible = self._visible()
        wanted = visible if videos is None else visible & frozenset(videos)
        if not wanted:
            return [no_hits() for _ in queries]
        table = self._space_table(space)
        found: list[Hits] = []
        for query in queries:
            columns = table.read(lambda ds, q=query: _nearest(ds, q, k, None if videos is None else wanted, exact))
            kept = np.array([i in wanted for i in columns[0]], bool)
            if not kept.all():  # an ingest is under way: ask again, for the committed rows only
                columns = table.read(lambda ds, q=query: _nearest(ds, q, k, wanted, exact))
            found.append(ranked(*columns))
        return found

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video, by time; empty if there are none."""
        known = self._space(space)
        if video_id not in self._visible():
            return no_embeddings(known, video_id)
        where = f"video_id = {_quoted([video_id])}"
        table = self._space_table(space).read(
            lambda ds: ds.scanner(columns=[*_TIMES, "vector"], filter=where).to_table()
        )
        start, end, at = (_numpy(table, name) for name in _TIMES)
        order = np.argsort(at, kind="stable")
        vectors = _matrix(table, known.dim)[order]
        return Embeddings(space, video_id, start[order], end[order], at[order], vectors)

    def sample_vectors(self, space: str, n: int) -> Float32:
        """Up to n vectors of the space, evenly spread in the order of writing."""
        known = self._space(space)
        table = self._space_table(space).read(
            lambda ds: ds.take(cast("list[int]", spread(ds.count_rows(), n).tolist()), columns=["vector"])
        )
        return _matrix(table, known.dim)

    def videos(self) -> list[Video]:
        """All committed videos, in the order of their first path."""
        return sorted(self._all_videos().values(), key=by_path)

    def get(self, video_id: str) -> Video | None:
        """One committed video."""
        return self._all_videos().get(video_id)

    def counts(self, space: str) -> dict[str, int]:
        """How many rows of the space each video id has, committed or not."""
        self._space(space)
        self._flush()
        table = self._space_table(space).read(lambda ds: ds.scanner(columns=["video_id"]).to_table())
        counted = cast("Any", table["video_id"]).value_counts()
        return {pair["values"]: pair["counts"] for pair in counted.to_pylist()}

    # inside

    def _table(self, file: str) -> _Table:
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed")
            if self._pid != os.getpid():  # Lance's threads do not live on in a forked child: it would wait for ever
                raise StoreError("the store was opened in another process", hint="open the library after the fork")
            if file not in self._tables:
                self._tables[file] = _Table(self.path / file, self._session)
            return self._tables[file]

    def _video_table(self) -> _Table:
        return self._table(f"{_VIDEOS}.lance")

    def _space_table(self, name: str) -> _Table:
        return self._table(_file_name(name))

    def _spaces(self) -> list[tuple[int, Space]]:
        self._video_table()  # complains when closed
        with _door(self.path):
            files = sorted(path.name for path in self.path.glob("space-*.lance"))
        metas = [table.meta() for table in map(self._table, files) if table.exists()]
        found = [(m["order"], Space(m["name"], m["dim"], tuple(m["answers"]))) for m in metas]
        return sorted(found, key=lambda pair: pair[0])

    def _space(self, name: str) -> Space:
        return find_space(self.spaces(), name)

    def _visible(self) -> frozenset[str]:
        """The ids of the committed videos, read again only when their table has a new version."""
        table = self._video_table()
        if not table.exists():
            return frozenset()

        def read(dataset: Dataset) -> frozenset[str]:
            version, ids = self._ids
            if dataset.version != version:
                ids = frozenset(dataset.scanner(columns=["id"]).to_table()["id"].to_pylist())
                self._ids = (dataset.version, ids)
            return ids

        return table.read(read)

    def _all_videos(self) -> dict[str, Video]:
        table = self._video_table()
        if not table.exists():
            return {}

        def read(dataset: Dataset) -> dict[str, Video]:
            version, videos = self._known
            if dataset.version != version:
                videos = {video.id: video for video in map(_video, dataset.scanner().to_table().to_pylist())}
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


def _video(row: dict[str, Any]) -> Video:
    files: Any = tuple(MediaFile(**file) for file in row["files"])
    return Video(**{**row, "files": files})


def _columns(rows: Sequence[Embeddings]) -> Table:
    """Make one Arrow table of rows of one space."""
    dim = rows[0].vectors.shape[1]
    ids = pa.array([row.video_id for row in rows for _ in range(len(row))], pa.string())
    times = [pa.array(np.concatenate([getattr(row, name) for row in rows])) for name in _TIMES]
    flat = pa.array(np.concatenate([row.vectors for row in rows]).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, dim)
    return pa.Table.from_arrays([ids, *times, vectors], schema=_space_schema(dim))


def _numpy(table: Table, name: str) -> Any:
    return table[name].to_numpy()


def _matrix(table: Table, dim: int) -> Float32:
    chunks = [np.asarray(chunk.flatten()) for chunk in table["vector"].chunks]
    flat = np.concatenate(chunks) if chunks else np.empty(0, np.float32)
    return flat.reshape(-1, dim).astype(np.float32, copy=False)


def _nearest(
    dataset: Dataset, query: Float32, k: int, ids: Collection[str] | None, exact: bool
) -> tuple[Any, Any, Any, Any, Float32]:
    """Ask Lance for the k nearest rows; `ids` None means any video. Returns id, start, end, at and score columns."""
    table = dataset.scanner(
        columns=["video_id", *_TIMES, "_distance"],
        nearest={"column": "vector", "q": query, "k": k, "metric": "dot", "use_index": not exact},
        filter=None if ids is None else f"video_id IN ({_quoted(sorted(ids))})",
        prefilter=True,
        disable_scoring_autoprojection=True,
    ).to_table()
    ids_found = np.array(table["video_id"].to_pylist(), dtype=object)
    start, end, at = (_numpy(table, name) for name in _TIMES)
    return ids_found, start, end, at, 1.0 - _numpy(table, "_distance")
