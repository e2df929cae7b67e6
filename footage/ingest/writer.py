"""The third step: the vectors of a video are gathered, written and committed as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from footage import frames as keyframes
from footage import sounds
from footage.catalog import VIDEO_SUFFIXES, Catalog, Job, Refused
from footage.errors import CorruptMedia, MediaError, UnsupportedMedia
from footage.ingest.items import Encoded, Item, Known, Loaded, Lost, Picture
from footage.ingest.settings import Progress
from footage.types import Embeddings, Failure, Indexed, Video

if TYPE_CHECKING:
    from footage.stores import Store

_FLUSH_ROWS = 2048  # rows held before they are written: some 15 MB, and few enough files on disk
_FLUSH_SECONDS = 5.0  # at most so much finished work is lost by a kill
_REFRESH_ROWS = 20_000  # rows between two visits to the index while a long run goes on


@dataclass(slots=True, eq=False)
class _Pending:
    """One video that is being written."""

    job: Job
    frames: keyframes.FrameWriter
    replaces: bool  # the library has it already, from samples of other settings
    held: list[Embeddings] = field(default_factory=list[Embeddings])
    """Rows of a video that is replaced: its old ones stay in the store until these are complete."""
    received: int = 0  # pieces
    expected: int = 0
    video: Video | None = None  # once it is loaded

    @property
    def complete(self) -> bool:
        return self.video is not None and self.received == self.expected


class Writer:
    """Gathers the vectors of videos and commits each one when it is complete."""

    def __init__(self, store: Store, frames: keyframes.FrameStore, catalog: Catalog, progress: Progress) -> None:
        self.store = store
        self.frames = frames
        self.catalog = catalog
        self.progress = progress
        self.pending: dict[str, _Pending] = {}
        self.dead: set[str] = set()  # paths given up, whose late pieces are to be ignored
        self.failed: dict[str, MediaError] = {}  # contents that cannot be indexed
        self.rows: list[Embeddings] = []
        self.waiting: list[Known] = []  # copies of a content that is being indexed in this very run
        self.flushed_at = time.monotonic()
        self.since_refresh = 0
        self.writing = False  # stays True when an exception, such as Ctrl-C, comes in the middle of it
        self.written = False

    def take(self, item: Encoded | Item) -> Iterator[Indexed]:
        """Accept one item of the stream; yields the files that are done with it."""
        if isinstance(item, Encoded):
            self._vectors(item)
        elif isinstance(item, Loaded):
            pending = self._open(item.job, item.video.id)
            pending.video, pending.expected = item.video, item.pieces
            if item.sound is not None:
                pending.frames.attach(sounds.ENTRY, sounds.packed(item.sound))
        elif isinstance(item, Refused):
            yield from self._refused(item)
        elif isinstance(item, Known):
            yield from self._known(item)
        elif isinstance(item, Lost) and item.video_id in self.pending:
            self._drop(item.video_id)
        enough = sum(len(r) for r in self.rows) >= _FLUSH_ROWS
        if enough or time.monotonic() - self.flushed_at > _FLUSH_SECONDS:
            yield from self.flush()
        if self.since_refresh >= _REFRESH_ROWS:
            self.store.refresh()
            self.since_refresh = 0

    def _open(self, job: Job, video_id: str) -> _Pending:
        if video_id not in self.pending:
            replaces = self.store.get(video_id) is not None  # other sampling settings: made anew
            self.pending[video_id] = _Pending(job, self.frames.writer(video_id), replaces)
        return self.pending[video_id]

    def _vectors(self, item: Encoded) -> None:
        living = [row for row, piece in enumerate(item.pieces) if piece.job.file.path not in self.dead]
        for video_id, (pieces, embeddings) in item.by_video(living).items():
            pending = self._open(pieces[0].job, video_id)
            for piece in pieces:
                if isinstance(piece, Picture):
                    pending.frames.add(piece.at, piece.jpeg)
            into = pending.held if pending.replaces else self.rows
            into += embeddings
            pending.received += len(pieces)  # last, so that a video is never complete before its rows are here

    def _refused(self, item: Refused) -> Iterator[Indexed]:
        path = item.job.file.path
        self.dead.add(path)
        for video_id in [v for v, p in self.pending.items() if p.job.file.path == path]:
            self._drop(video_id)
        error = item.failure.error
        if item.video_id and isinstance(error, MediaError):
            self.failed[item.video_id] = error
        self._done(item.job)
        quiet = not item.job.named and Path(path).suffix.lower() not in VIDEO_SUFFIXES
        if not (quiet and isinstance(error, UnsupportedMedia)):
            yield Indexed(item.failure.uri, "failed", error=error)

    def _drop(self, video_id: str) -> None:
        """Remove a video that is half written; what the library had of it stays, unless it was being exchanged."""
        pending = self.pending.pop(video_id)
        pending.frames.discard()
        self.rows = [r for r in self.rows if r.video_id != video_id]
        if pending.replaces and not (self.writing and pending.complete):
            return
        self.store.delete([video_id], texts=False)  # of the content: the next run finds them again
        if pending.replaces or self.writing:
            self.frames.delete([video_id])
        if pending.replaces:
            self.catalog.drop(video_id)

    def _known(self, item: Known) -> Iterator[Indexed]:
        if item.video_id in self.catalog.videos and item.video_id not in self.pending:
            yield self._assign(item.job, item.video_id)
        else:
            self.waiting.append(item)

    def _assign(self, job: Job, video_id: str) -> Indexed:
        changed, moved = self.catalog.assign(job.file, video_id)
        if changed:
            self.store.commit(changed)
        self._done(job)
        self.progress.bytes_skipped += job.file.size_bytes
        video = self.catalog.videos[video_id]
        return Indexed(job.file.path, "moved" if moved else "unchanged", video_id, video.duration, video.samples)

    def tidy(self) -> None:
        """Remove the videos that no file holds any more."""
        homeless = self.catalog.homeless()
        if homeless:
            self.store.delete(homeless)
            self.frames.delete(homeless)

    def _done(self, job: Job) -> None:
        self.progress.files_done += 1
        self.progress.bytes_done += job.file.size_bytes
        self.progress.current.pop(job.file.path, None)

    def flush(self) -> list[Indexed]:
        """Write what was gathered and commit the videos that are complete."""
        self.writing = True
        exchanged = [v for v, p in self.pending.items() if p.replaces and p.complete]
        if exchanged:
            self.store.delete(exchanged, texts=False)  # they are of the content, which is the same
            self.rows += [row for video_id in exchanged for row in self.pending[video_id].held]
        if self.rows:
            self.store.add(self.rows)
            self.since_refresh += sum(len(r) for r in self.rows)
            self.rows = []
        finished = [p.job.file for p in self.pending.values() if p.complete]
        # Stamped when they become visible and not before, so that "what was there at a time" stays the same.
        now = time.time()
        videos = [replace(p.video, indexed_at=now) for p in self.pending.values() if p.complete and p.video is not None]
        changed: dict[str, Video] = {}
        for file, video in zip(finished, videos, strict=True):
            self.pending[video.id].frames.commit()
            self.catalog.adopt(video)
            others, _ = self.catalog.assign(file, video.id)
            changed |= {v.id: v for v in (*others, self.catalog.videos[video.id])}
        if changed:
            self.store.commit(list(changed.values()))
            self.written = True
        done = [self._committed(video.id) for video in videos]
        self.writing = False
        self.flushed_at = time.monotonic()
        return done

    def _committed(self, video_id: str) -> Indexed:
        job, video = self.pending.pop(video_id).job, self.catalog.videos[video_id]
        self._done(job)
        self.progress.video_seconds += video.duration
        return Indexed(job.file.path, "indexed", video_id, video.duration, video.samples, warning=video.warning)

    def finish(self) -> Iterator[Indexed]:
        """Flush the rest, and settle the copies that waited for their content to be indexed."""
        yield from self.flush()
        waiting, self.waiting = self.waiting, []
        for known in waiting:
            error = self.failed.get(known.video_id)
            if known.video_id in self.catalog.videos:
                yield self._assign(known.job, known.video_id)
            elif error is not None:
                yield from self._refused(Refused(known.job, _same_failure(known.job.file.path, error)))
            else:  # the copy that came first could not be read, or changed: this one may do
                self.waiting.append(known)

    def abandon(self) -> None:
        """Keep what is complete, remove what is not."""
        if not self.writing:
            self.flush()
        for video_id in list(self.pending):
            self._drop(video_id)


def _same_failure(path: str, error: MediaError) -> Failure:
    """The failure of a copy of a file: the same, under another name."""
    same = type(error)(error.message.replace(error.uri, path), uri=path, hint=error.hint)
    if isinstance(same, CorruptMedia) and isinstance(error, CorruptMedia):
        same.time = error.time
    return Failure(path, same)
