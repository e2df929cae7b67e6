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
from footage.stores import lance_samples, lance_videos
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
    spread,
)
from footage.stores.lance_table import Dataset, Table, door, new_session, pa, probed, quoted
from footage.stores.lance_texts import FILE, LanceTexts, kinds_filter
from footage.stores.texts import asked, grouped
from footage.types import Embeddings, Hits, Space, Video, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager

    from footage.types import Float32, TextHit, TimedText

_PENDING_BYTES = 16 << 20  # rows held back until a commit: one file a commit instead of one a batch
_DROPPED = "dropped-"  # how the folder of a space begins from when it is dropped until it is gone
_TIDY_EVERY = 64  # commits
_FEW_ROWS = 2_000  # a filter that leaves fewer is answered from those rows alone, without the index


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
        self._table(_file_name(space.name)).create(lance_samples.schema(space.dim), meta)

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
                table.append(lance_samples.columns_of(mine))

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
            table.create(lance_videos.SCHEMA, {})
        rows = {video.id: video for video in videos}
        columns = pa.Table.from_pylist(
            [lance_videos.row_of(video) for video in rows.values()], schema=lance_videos.SCHEMA
        )
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
                return table.read(partial(lance_samples.scan, queries=queries, k=k, where=where))
        hits: list[Hits] = []
        probes = None if exact else probed(sum(samples.values()))
        for _ in range(4):
            hits = table.read(
                partial(lance_samples.nearest, queries=queries, k=k, where=where, probes=probes, rough=rough)
            )
            if all(wanted >= set(found.video_ids) for found in hits):
                break
            # an ingest is under way: ask again, without the rows that are not committed yet
            where = f"video_id NOT IN ({quoted(sorted(self._row_counts(space).keys() - wanted))})"
        return [lance_samples.only(found, wanted) for found in hits]

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video, by time; empty if there are none."""
        return self.vectors_of(space, [video_id])[0]

    def vectors_of(self, space: str, video_ids: Sequence[str]) -> list[Embeddings]:
        """What `vectors` gives for each of several videos, in one read."""
        known, wanted = self._space(space), self._visible().keys() & set(video_ids)
        if not wanted:
            return [no_embeddings(known, video_id) for video_id in video_ids]
        where = f"video_id IN ({quoted(sorted(wanted))})"
        columns = ["video_id", *lance_samples.TIMES, "vector"]
        table = self._space_table(space).read(lambda ds: ds.scanner(columns=columns, filter=where).to_table())
        coded = table["video_id"].combine_chunks().dictionary_encode()
        ids: dict[str, int] = {video_id: code for code, video_id in enumerate(coded.dictionary.to_pylist())}
        of, at = coded.indices.to_numpy(), lance_samples.column(table, "at")
        order = np.lexsort((at, of))
        start, end, vectors = (
            lance_samples.column(table, "start"),
            lance_samples.column(table, "end"),
            lance_samples.matrix(table, known.dim),
        )
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
        return lance_samples.matrix(table, known.dim)

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
            rows = lance_videos.videos_of(dataset.scanner(filter=f"id = {quoted([video_id])}").to_table())
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
                found = sorted(lance_videos.videos_of(dataset.scanner().to_table()), key=by_path)
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
                    self._space_table(space).append(lance_samples.columns_of(rows))
                self._pending_bytes -= sum(row.vectors.nbytes for row in self._pending.pop(space))

    def _keep_pending(self, keep: Callable[[Embeddings], bool]) -> None:
        self._pending = {space: [row for row in rows if keep(row)] for space, rows in self._pending.items()}
        self._pending_bytes = sum(row.vectors.nbytes for rows in self._pending.values() for row in rows)
