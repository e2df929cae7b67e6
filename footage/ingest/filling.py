"""Fill the spaces of another model: from the key frames where they will do, else from the videos.

    videos that lack rows -> pieces (threads) -> encode (one thread) -> fill (the caller's thread)

Whole videos are written at a time, and the counts of the store tell what is done, so that a killed run goes on.
"""

from __future__ import annotations

import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, TypeAlias

from footage import frames as keyframes
from footage.catalog import Job, Refused
from footage.errors import MediaError, NotIndexed
from footage.ingest.encoding import encode
from footage.ingest.items import Encoded, Idle, Item, Picture, Piece, Run
from footage.ingest.settings import AtWork, IngestSettings, Progress
from footage.media import open_video, resize
from footage.pipeline import Beat, stage
from footage.places import Place
from footage.types import Embeddings, Failure, MediaFile, Space, Video
from footage.windows import windows

if TYPE_CHECKING:
    from footage.encoders import Encoder, Together
    from footage.stores import Store
    from footage.types import Float64, UInt8

_FLUSH_ROWS = 2048  # rows held before they are written
_FLUSH_SECONDS = 5.0  # at most so much work is lost by a kill
_BROKEN = (NotIndexed, OSError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, SyntaxError)
_CLOSE = 2e-6  # seconds: the names of key frames have six digits
_PROBE = 4096  # pixels: side of a large square picture, whose input size is that of the model

PathOf: TypeAlias = Callable[[Video], Place]
"""Where a video's file lies; raises MediaError if it is not there, or is another one now."""


@dataclass(slots=True)
class Filled:
    """What became of the videos that lacked rows."""

    videos: int = 0
    samples: int = 0
    decoded: int = 0  # videos whose key frames were too small, or lost, or do not show motion: decoded again
    coarse: int = 0  # videos whose key frames were too small and taken all the same, since the file is not there
    lost: list[Video] = field(default_factory=list[Video])  # with neither key frames that will do nor file


def too_small(encoder: Encoder) -> bool:
    """Whether the pictures that this encoder looks at are larger than the key frames."""
    return encoder.row.window is None and max(encoder.input_size(_PROBE, _PROBE)) > keyframes.LONG_SIDE


def lacking(store: Store, spaces: Iterable[Space], videos: Iterable[Video]) -> list[Video]:
    """The videos of which one of these spaces has not all rows."""
    counts = [(space, store.counts(space.name)) for space in spaces]
    return [v for v in videos if any(count.get(v.id, 0) != space.rows(v) for space, count in counts)]


def fill(
    encoder: Encoder,
    *,
    store: Store,
    frames: keyframes.FrameStore,
    like: str,
    path_of: PathOf,
    settings: IngestSettings,
    progress: Progress,
) -> Filled:
    """Fill the spaces of this encoder, which exist already, for every video; `like` is a space that is complete.

    Ends early, with whole videos written, when the progress is cancelled. Only the writer may call it.
    """
    from footage.encoders import Together

    videos = store.videos()
    todo = lacking(store, encoder.row.spaces, videos)
    missing = {video.id for video in todo}
    progress.files, progress.size_bytes = len(videos), sum(video.size_bytes for video in videos)
    progress.files_done = len(videos) - len(todo)
    progress.bytes_done = sum(video.size_bytes for video in videos if video.id not in missing)
    progress.bytes_skipped = progress.bytes_done
    filled = Filled()
    together = Together.of(encoder)
    if encoder.row.window is None:
        pieces = _Pictures(store, frames, like, path_of, encoder, together, progress, filled).pieces
    else:
        pieces = _Windows(path_of, together, progress, filled).pieces
    items = partial(_items, pieces=pieces, progress=progress)
    gathered = _Gathered(store, encoder.row.spaces[0].rows, {video.id: video for video in todo}, progress, filled)
    stop = threading.Event()
    loaded = stage(
        todo, items, stop=stop, workers=settings.workers, depth=2 * settings.batch, busy=progress.load, on_idle=Idle
    )
    encoded = stage([loaded], lambda items, _: encode(items, together, settings.batch, progress), stop=stop, depth=4)
    try:
        for item in encoded:
            progress.give_way()
            started = time.monotonic()
            gathered.take(item)
            progress.write.seconds += time.monotonic() - started
            if progress.cancelled.is_set():
                break
        gathered.flush()
    finally:
        stop.set()
        encoded.close()
    return filled


def _items(
    video: Video, beat: Beat, *, pieces: Callable[[Job, Video, Beat], Iterator[Piece]], progress: Progress
) -> Iterator[Item]:
    """The pieces of a video, or why there are none."""
    job = Job(video.files[0] if video.files else MediaFile("", 0, 0), named=False)
    try:
        for piece in pieces(job, video, beat):
            progress.current[job.file.path] = AtWork(piece.at, video.duration, video.size_bytes)
            yield piece
    except (MediaError, NotIndexed) as error:
        yield Refused(job, Failure(video.path, error), video.id)


@dataclass(slots=True, eq=False)
class _Windows:
    """Windows of the videos, which are decoded for them: key frames do not move."""

    path_of: PathOf
    together: Together
    progress: Progress
    filled: Filled

    def pieces(self, job: Job, video: Video, beat: Beat) -> Iterator[Piece]:
        """The windows of a video; raises MediaError."""
        with open_video(self.path_of(video), beat=lambda: self.progress.wait(beat)) as reader:
            # Of what was indexed by its key frames alone, a whole pass may see a little more at the end.
            frames = takewhile(lambda frame: frame.time < video.duration, reader.frames())
            for each in windows(frames, self.together.cutters(), lambda: video.duration):
                yield Run(job, video.id, each.start, each.end, each.at, each.pictures, each.cutter)
        self.filled.decoded += 1


@dataclass(slots=True, eq=False)
class _Pictures:
    """Where the pictures of a video come from."""

    store: Store
    frames: keyframes.FrameStore
    like: str
    path_of: PathOf
    encoder: Encoder
    together: Together
    progress: Progress
    filled: Filled

    def pieces(self, job: Job, video: Video, beat: Beat) -> Iterator[Piece]:
        """The pictures of a video; raises NotIndexed."""
        rows = self.store.vectors(self.like, video.id)
        ranges = zip(rows.start.tolist(), rows.end.tolist(), rows.at.tolist(), strict=True)
        try:
            for images, (start, end, at) in zip(self._images(video, rows.at), ranges, strict=True):
                self.progress.wait(beat)
                yield Picture(job, video.id, start, end, at, images, b"")
        except _BROKEN as error:
            raise NotIndexed(
                f"neither key frames nor file: {video.path}", hint="footage doctor lists what is missing"
            ) from error

    def _images(self, video: Video, at: Float64) -> Iterator[tuple[UInt8, ...]]:
        small = too_small(self.encoder) and max(video.width, video.height) > keyframes.LONG_SIDE
        done = 0
        if small or not self._has_frames(video, at):
            try:
                for images in self._decoded(video, at):
                    yield images
                    done += 1
            except MediaError:
                pass  # what is left is taken from the key frames
            if done == len(at):
                self.filled.decoded += 1
                return
        if small:
            self.filled.coarse += 1
        for picture in self._stored(video, at, done):
            yield self.together.scaled(video.width, video.height, lambda w, h, p=picture: resize(p, w, h))

    def _stored(self, video: Video, at: Float64, first: int) -> Iterator[UInt8]:
        """The key frames from this number on; raises NotIndexed if they are not those of the samples."""
        number = -1
        try:
            for number, (time_, data) in enumerate(self.frames.read_all(video.id)):
                if number >= len(at) or abs(time_ - at[number]) > _CLOSE:
                    raise NotIndexed(f"key frames of other times: {video.path}")
                if number >= first:
                    yield keyframes.decode_jpeg(data)
        except _BROKEN as error:
            raise NotIndexed(f"broken key frames: {video.path}: {error}") from error
        if number + 1 != video.samples:
            raise NotIndexed(f"{number + 1} of {video.samples} key frames: {video.path}")

    def _has_frames(self, video: Video, at: Float64) -> bool:
        try:
            return len(self.frames.times(video.id)) == len(at)
        except _BROKEN:
            return False

    def _decoded(self, video: Video, at: Float64) -> Iterator[tuple[UInt8, ...]]:
        """The very frames that were sampled, as far as the file gives them."""
        wanted = iter(at.tolist())
        next_at = next(wanted, None)
        with open_video(self.path_of(video), fast=video.sampling.endswith("/fast")) as reader:
            for frame in reader.frames():
                if next_at is None or frame.time > next_at + _CLOSE:
                    return
                if abs(frame.time - next_at) <= _CLOSE:
                    yield self.together.scaled(frame.width, frame.height, frame.picture)
                    next_at = next(wanted, None)


class _Gathered:
    """Gathers the vectors of videos and writes those that are complete."""

    def __init__(
        self,
        store: Store,
        rows: Callable[[Video], int],
        videos: dict[str, Video],
        progress: Progress,
        filled: Filled,
    ) -> None:
        """`rows` tells how many a video has when it is complete."""
        self._store, self._rows = store, rows
        self._videos, self._progress, self._filled = videos, progress, filled
        self._parts: dict[str, list[Embeddings]] = {}
        self._received: dict[str, int] = {}
        self._ready: list[str] = []
        self._flushed = time.monotonic()

    def take(self, item: Encoded | Item) -> None:
        """Accept one item of the stream."""
        if isinstance(item, Encoded):
            self._vectors(item)
        elif isinstance(item, Refused):
            self._parts.pop(item.video_id, None)
            self._filled.lost.append(self._videos[item.video_id])
            self._done([item.video_id])
        rows = sum(self._received[video_id] for video_id in self._ready)
        if rows >= _FLUSH_ROWS or (rows and time.monotonic() - self._flushed > _FLUSH_SECONDS):
            self.flush()

    def _vectors(self, item: Encoded) -> None:
        for video_id, (pieces, embeddings) in item.by_video(range(len(item.pieces))).items():
            self._parts.setdefault(video_id, []).extend(embeddings)
            self._received[video_id] = self._received.get(video_id, 0) + len(pieces)
            if self._received[video_id] == self._rows(self._videos[video_id]):
                self._ready.append(video_id)

    def flush(self) -> None:
        """Write the videos that are complete."""
        done, self._ready = self._ready, []
        self._store.fill([part for video_id in done for part in self._parts.pop(video_id)])
        self._filled.videos += len(done)
        self._filled.samples += sum(self._received[video_id] for video_id in done)
        self._progress.video_seconds += sum(self._videos[video_id].duration for video_id in done)
        self._done(done)
        self._flushed = time.monotonic()

    def _done(self, video_ids: Collection[str] | Sequence[str]) -> None:
        for video in (self._videos[video_id] for video_id in video_ids):
            self._progress.files_done += 1
            self._progress.bytes_done += video.size_bytes
            self._progress.current.pop(video.path, None)
