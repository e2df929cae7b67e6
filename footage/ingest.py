"""Index files: load (decode, sample, scale), encode, write; three functions and how they hang together.

    scan -> jobs -> load (threads) -> pictures -> encode (one thread) -> vectors -> write (the caller's thread)

Every queue is bounded, so memory depends neither on the length nor on the number of files. The unit of commitment is
a video: its rows first, its key frames, then its row in the store. Whatever is killed in between leaves orphans that
the next run sweeps away, and that run then does the video again.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from footage import frames as keyframes
from footage.catalog import VIDEO_SUFFIXES, Catalog, Job, Refused, absolute, digest, gone, scan
from footage.errors import CorruptMedia, MediaError, MediaNotFound, UnsupportedMedia
from footage.media import open_video, probe
from footage.pipeline import Beat, Busy, Stopped, batched, stage
from footage.sampling import SamplingSettings, samples
from footage.types import Embeddings, Failure, Indexed, MediaFile, Video

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.stores import Store
    from footage.types import Float32, UInt8

_FLUSH_ROWS = 2048  # rows held before they are written: some 15 MB, and few enough files on disk
_FLUSH_SECONDS = 5.0  # at most so much finished work is lost by a kill
_REFRESH_ROWS = 20_000  # rows between two visits to the index while a long run goes on
_PAUSE = 0.05  # seconds: how soon a pause ends
_PATIENCE = 2.0  # seconds that an incomplete batch waits for more pictures of its shape


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How to index: sampling, and how much at a time."""

    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    workers: int = 2
    batch: int = 16
    stall: float = 30.0  # seconds without progress after which a file is given up
    prune: bool = False  # forget files that have vanished


@dataclass(slots=True)
class Progress:
    """Counters of a running `index`; written by it, read by whoever shows them."""

    files: int = 0
    size_bytes: int = 0
    files_done: int = 0
    bytes_done: int = 0
    video_seconds: float = 0.0  # of finished videos
    current: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Path of each file at work -> (seconds decoded, its duration or 0)."""
    load: Busy = field(default_factory=Busy)
    encode: Busy = field(default_factory=Busy)
    write: Busy = field(default_factory=Busy)
    started: float = field(default_factory=time.monotonic)
    paused: threading.Event = field(default_factory=threading.Event)
    """Set it to hold the decoders; what they gave before is still written."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set it to end the run early, as Ctrl-C does: finished videos are kept."""

    def wait(self, beat: Beat) -> None:
        """Beat; while paused, go on beating, so that nobody takes the pause for a stall.

        Raises:
            Stopped: the run is over or was cancelled.
        """
        beat()
        while self.paused.is_set() and not self.cancelled.is_set():
            beat()
            time.sleep(_PAUSE)
        if self.cancelled.is_set():
            raise Stopped

    @property
    def limit(self) -> str:
        """The stage that is busiest now, hence limits the rest."""
        stages = {"decode": self.load, "encode": self.encode, "write": self.write}
        return max(stages, key=lambda name: stages[name].seconds / max(1, stages[name].workers))

    @property
    def seconds_done(self) -> float:
        """Seconds of video decoded so far, unfinished files counted in."""
        return self.video_seconds + sum(at for at, _ in list(self.current.values()))

    @property
    def fraction(self) -> float:
        """How much of the bytes is done, 0..1, unfinished files counted in by time."""
        return min(1.0, self.bytes_done / self.size_bytes) if self.size_bytes else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One sample on its way to the encoder."""

    job: Job
    video_id: str
    start: float
    end: float
    at: float
    image: UInt8  # RGB (h, w, 3) in the encoder's input size
    jpeg: bytes  # for the key-frame store


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file is decoded; `video.samples` pictures of it were sent."""

    job: Job
    video: Video


@dataclass(frozen=True, slots=True)
class Known:
    """A file whose content is in the library already."""

    job: Job
    video_id: str


Item: TypeAlias = Picture | Loaded | Known | Refused


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A batch of pictures with their vectors, row by row."""

    pictures: list[Picture]
    vectors: dict[str, Float32]


def load(
    job: Job, beat: Beat, *, encoder: Encoder, catalog: Catalog, sampling: SamplingSettings, progress: Progress
) -> Iterator[Item]:
    """Decode one file into pictures for the encoder, then say that it is loaded; or say why not."""
    path, video_id = job.file.path, ""
    try:
        job = replace(job, file=_look(path))  # in a long run it may have changed since it was listed
        if Path(path).suffix.lower() not in VIDEO_SUFFIXES:
            probe(path)  # most of these are no videos: tell before gigabytes are read
        video_id = digest(path, beat)
        beat()  # raises when the file was given up meanwhile
        if not catalog.claim(video_id, path, sampling):
            yield Known(job, video_id)
            return
        with open_video(path, fast=sampling.fast, beat=beat) as reader:
            count = 0
            for sample in samples(reader.frames(), sampling, lambda: reader.duration):
                frame = sample.frame
                image = frame.picture(*encoder.input_size(frame.width, frame.height))
                small = keyframes.jpeg(frame.picture(*keyframes.thumbnail_size(frame.width, frame.height)))
                progress.current[path] = (sample.at, reader.info.duration)
                count += 1
                yield Picture(job, video_id, sample.start, sample.end, sample.at, image, small)
            info = reader.info
            video = Video(
                id=video_id,
                files=(job.file,),
                duration=reader.duration,
                width=info.width,
                height=info.height,
                fps=info.fps,
                codec=info.codec,
                container=info.container,
                recorded_at=info.recorded_at or job.file.mtime_ns / 1e9,
                samples=count,
                sampling=sampling.fingerprint,
                has_audio=info.has_audio,
                broken_at=reader.broken_at,
                warning=reader.warning,
            )
        if _look(path) != job.file:
            raise _Changed(
                f"changed while it was read: {path}", uri=path, hint="index it again when the copy or recording is done"
            )
        yield Loaded(job, video)
    except (_Changed, MediaNotFound) as error:
        catalog.release(video_id)
        yield Refused(job, Failure(path, error))
    except MediaError as error:
        yield Refused(job, Failure(path, error), video_id)


class _Changed(CorruptMedia):
    """The file was written to while it was read."""


def _look(path: str) -> MediaFile:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise MediaNotFound(f"cannot read: {path}: {error.strerror}", uri=path) from error
    if not stat.S_ISREG(facts.st_mode):  # a pipe or a device might never end
        raise UnsupportedMedia(f"not a regular file: {path}", uri=path)
    return MediaFile(path, facts.st_size, facts.st_mtime_ns)


def encode(items: Iterable[Item], encoder: Encoder, batch: int, busy: Busy) -> Iterator[Encoded | Item]:
    """Encode pictures in batches of one shape, across the borders of videos; everything else passes through."""

    def shape(item: Item) -> tuple[int, ...] | None:
        return item.image.shape if isinstance(item, Picture) else None

    import numpy as np

    for group in batched(items, shape, size=batch, patience=_PATIENCE):
        pictures = [item for item in group if isinstance(item, Picture)]
        if not pictures:
            yield from group
            continue
        started = time.monotonic()
        vectors = encoder.encode_images(np.stack([p.image for p in pictures]))
        busy.seconds += time.monotonic() - started
        yield Encoded(pictures, vectors)


@dataclass(slots=True, eq=False)
class _Pending:
    """One video that is being written."""

    job: Job
    frames: keyframes.FrameWriter
    replaces: bool  # the library had it already, from samples of other settings
    received: int = 0
    video: Video | None = None  # once it is loaded

    @property
    def complete(self) -> bool:
        return self.video is not None and self.received == self.video.samples


class Writer:
    """Gathers the vectors of videos and commits each one when it is complete."""

    def __init__(self, store: Store, frames: keyframes.FrameStore, catalog: Catalog, progress: Progress) -> None:
        self.store = store
        self.frames = frames
        self.catalog = catalog
        self.progress = progress
        self.pending: dict[str, _Pending] = {}
        self.dead: set[str] = set()  # paths given up, whose late pictures are to be ignored
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
            self._open(item.job, item.video.id).video = item.video
        elif isinstance(item, Refused):
            yield from self._refused(item)
        elif isinstance(item, Known):
            yield from self._known(item)
        enough = sum(len(r) for r in self.rows) >= _FLUSH_ROWS
        if enough or time.monotonic() - self.flushed_at > _FLUSH_SECONDS:
            yield from self.flush()
        if self.since_refresh >= _REFRESH_ROWS:
            self.store.refresh()
            self.since_refresh = 0

    def _open(self, job: Job, video_id: str) -> _Pending:
        if video_id not in self.pending:
            replaces = self.store.get(video_id) is not None  # other sampling settings: made anew
            if replaces:
                self.store.delete([video_id])
            self.pending[video_id] = _Pending(job, self.frames.writer(video_id), replaces)
        return self.pending[video_id]

    def _vectors(self, item: Encoded) -> None:
        import numpy as np

        by_video: dict[str, list[int]] = {}
        for row, picture in enumerate(item.pictures):
            if picture.job.file.path in self.dead:
                continue
            by_video.setdefault(picture.video_id, []).append(row)
        for video_id, rows in by_video.items():
            pictures = [item.pictures[row] for row in rows]
            pending = self._open(pictures[0].job, video_id)
            for picture in pictures:
                pending.frames.add(picture.at, picture.jpeg)
            start, end, at = (np.array([getattr(p, name) for p in pictures]) for name in ("start", "end", "at"))
            self.rows += [Embeddings(s, video_id, start, end, at, v[rows]) for s, v in item.vectors.items()]
            pending.received += len(rows)  # last, so that a video is never complete before its rows are here

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
        """Remove a video that is half written."""
        pending = self.pending.pop(video_id)
        pending.frames.discard()
        self.rows = [r for r in self.rows if r.video_id != video_id]
        self.store.delete([video_id])
        if pending.replaces:
            self.frames.delete([video_id])
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
            self.frames.delete([video_id] if self.writing else [])
            self._drop(video_id)


def _same_failure(path: str, error: MediaError) -> Failure:
    """The failure of a copy of a file: the same, under another name."""
    same = type(error)(error.message.replace(error.uri, path), uri=path, hint=error.hint)
    if isinstance(same, CorruptMedia) and isinstance(error, CorruptMedia):
        same.time = error.time
    return Failure(path, same)


def ingest(
    paths: Iterable[str | Path],
    *,
    store: Store,
    frames: keyframes.FrameStore,
    encoder: Encoder,
    settings: IngestSettings,
    progress: Progress,
    skip: Path | None = None,
) -> Generator[Indexed, None, None]:
    """Index the files under the paths; yields what became of each, as soon as it is committed.

    Closing the generator, or an exception in the consumer (Ctrl-C), keeps every finished video and stops.
    """
    store.sweep()
    catalog = Catalog(store.videos())
    frames.sweep(set(catalog.videos))
    given = [str(p) for p in paths]
    listed = list(scan(given, skip=skip))
    progress.files = len(listed)
    progress.size_bytes = sum(
        item.job.file.size_bytes if isinstance(item, Refused) else item.file.size_bytes for item in listed
    )
    writer = Writer(store, frames, catalog, progress)
    jobs: list[Job] = []
    for item in listed:
        if isinstance(item, Refused):
            yield from writer.take(item)
        elif (video_id := catalog.unchanged(item, settings.sampling)) is not None:
            yield from writer.take(Known(item, video_id))
        else:
            jobs.append(item)
    while jobs:
        yield from _run(jobs, writer, encoder, settings, progress)
        jobs = [] if progress.cancelled.is_set() else [known.job for known in writer.waiting]
        writer.waiting = []
    if not progress.cancelled.is_set():
        yield from _vanished(given, listed, writer, settings.prune)
    writer.tidy()
    if writer.written:
        store.refresh()


def _run(
    jobs: list[Job], writer: Writer, encoder: Encoder, settings: IngestSettings, progress: Progress
) -> Iterator[Indexed]:
    stop = threading.Event()

    def work(job: Job, beat: Beat) -> Iterator[Item]:
        watched = partial(progress.wait, beat)
        return load(
            job, watched, encoder=encoder, catalog=writer.catalog, sampling=settings.sampling, progress=progress
        )

    def stalled(job: Job) -> Item:
        at, _ = progress.current.get(job.file.path, (0.0, 0.0))
        error = CorruptMedia(
            f"no progress for {settings.stall:g} s, given up: {job.file.path}",
            uri=job.file.path,
            time=at,
            hint="the disk or the network may be slow: see the setting `stall`",
        )
        return Refused(job, Failure(job.file.path, error), writer.catalog.claimed(job.file.path))

    loaded = stage(
        jobs, work, stop=stop, workers=settings.workers, depth=2 * settings.batch, busy=progress.load,
        stall=settings.stall, on_stall=stalled,
    )  # fmt: skip
    encoded = stage(
        [loaded], lambda items, _: encode(items, encoder, settings.batch, progress.encode), stop=stop, depth=4
    )
    try:
        for item in encoded:
            started = time.monotonic()
            yield from list(writer.take(item))
            progress.write.seconds += time.monotonic() - started
            if progress.cancelled.is_set():
                break
        if progress.cancelled.is_set():
            stop.set()
            yield from writer.flush()
            writer.abandon()
            return
        started = time.monotonic()
        yield from list(writer.finish())
        progress.write.seconds += time.monotonic() - started
    except BaseException:
        stop.set()
        writer.abandon()
        raise
    finally:
        stop.set()
        encoded.close()  # waits for the threads to unwind


def _vanished(given: list[str], listed: list[Job | Refused], writer: Writer, prune: bool) -> Iterator[Indexed]:
    """Files that the library knows under the given folders, but the disk does not."""
    present = {item.job.file.path if isinstance(item, Refused) else item.file.path for item in listed}
    roots = [absolute(g) for g in given]
    roots = [r.as_posix() for r in roots if r.is_dir()]  # an unplugged disk is no reason to forget its videos
    catalog = writer.catalog
    for path in sorted(set(catalog.paths) - present):
        inside = any(path == r or path.startswith(r.rstrip("/") + "/") for r in roots)
        if not inside or not gone(path):
            continue
        _, video_id = catalog.paths[path]
        if not prune:
            yield Indexed(path, "vanished", video_id)
            continue
        video = catalog.forget(path)
        if video.files:
            writer.store.commit([video])
        yield Indexed(path, "pruned", video_id)
