"""The run: what is new is found, and the three steps are hung together on threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from footage.catalog import Catalog, Job, Refused, scan
from footage.errors import ConfigError, CorruptMedia, MediaNotFound, MediaUnreachable
from footage.ingest.encoding import encode
from footage.ingest.items import Encoded, Idle, Item, Known
from footage.ingest.loading import load
from footage.ingest.settings import AtWork, IngestSettings, Progress
from footage.ingest.writer import Writer
from footage.pipeline import Beat, stage
from footage.places import Place, absolute, is_gone, is_url, normal
from footage.types import Failure, Indexed

if TYPE_CHECKING:
    from footage.encoders import Encoder, Together
    from footage.frames import FrameStore
    from footage.stores import Store

T = TypeVar("T")


def ingest(
    paths: Iterable[str | Place],
    *,
    store: Store,
    frames: FrameStore,
    encoder: Encoder,
    settings: IngestSettings,
    progress: Progress,
    skip: Path | None = None,
    on: Ground | None = None,
) -> Generator[Indexed, None, None]:
    """Index the files under the paths; yields what became of each, as soon as it is committed.

    Files are decoded and encoded in this process, or `on` others; what comes of it is written here.

    Closing the generator, or an exception in the consumer (Ctrl-C), keeps every finished video and stops.
    """
    from footage.encoders import Together

    together = Together.of(encoder)
    if settings.sampling.fast and together.cutters():
        raise ConfigError(
            "a fast pass sees key frames only, and this library has a model that looks at motion",
            hint="index without --fast, or drop that model: footage models drop NAME",
        )
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
        yield from _run(jobs, writer, together, settings, progress, on or Here())
        ended = progress.cancelled.is_set() or progress.draining.is_set()
        jobs = [] if ended else [known.job for known in writer.waiting]
        writer.waiting = []
    if not progress.cancelled.is_set():
        yield from _vanished(given, listed, writer, settings.prune)
    writer.tidy()
    if writer.written:
        store.refresh()


def _run(
    jobs: list[Job], writer: Writer, together: Together, settings: IngestSettings, progress: Progress, on: Ground
) -> Iterator[Indexed]:
    encoded = on.encoded(jobs, writer.catalog, together, settings, progress)
    try:
        for item in encoded:
            progress.give_way()
            started = time.monotonic()
            yield from list(writer.take(item))
            progress.write.seconds += time.monotonic() - started
            if progress.cancelled.is_set():
                break
        if progress.cancelled.is_set():
            yield from writer.flush()
            writer.abandon()
            return
        started = time.monotonic()
        yield from list(writer.finish())
        progress.write.seconds += time.monotonic() - started
    except BaseException:
        writer.abandon()
        raise
    finally:
        encoded.close()  # waits for the threads to unwind


class Ground(Protocol):
    """Where files are decoded and encoded: this process, or others."""

    def encoded(
        self, jobs: list[Job], catalog: Catalog, encoder: Together, settings: IngestSettings, progress: Progress
    ) -> Generator[Encoded | Item, None, None]:
        """Decode and encode these files; yields what the writer takes, each file's items in their order."""
        ...


class Here:
    """This process: files are decoded on threads, and encoded on another."""

    def encoded(
        self, jobs: list[Job], catalog: Catalog, encoder: Together, settings: IngestSettings, progress: Progress
    ) -> Generator[Encoded | Item, None, None]:
        """Decode and encode these files."""

        def work(job: Job, beat: Beat) -> Iterator[Item]:
            return load(
                job,
                beat,
                encoder=encoder,
                catalog=catalog,
                sampling=settings.sampling,
                progress=progress,
                spool_bytes=settings.spool_bytes,
            )

        def claimed(path: str) -> str:
            video_id = catalog.claimed(path)
            if not is_url(path):
                return video_id
            catalog.release(video_id)  # most probably it is not the content
            return ""

        started = takewhile(lambda _: not progress.draining.is_set(), jobs)
        yield from loaded_and_encoded(started, work, encoder, settings, progress, claimed)


def loaded_and_encoded(
    jobs: Iterable[Job],
    work: Callable[[Job, Beat], Iterator[T]],
    encoder: Together,
    settings: IngestSettings,
    progress: Progress,
    claimed: Callable[[str], str],
) -> Generator[Encoded | T | Refused | Idle, None, None]:
    """Decode files by `work` on threads, and encode the pieces that come of it on another.

    A file that makes no progress is given up; `claimed` tells the content that was to be read from its path.
    """
    stop = threading.Event()

    def stalled(job: Job) -> Refused:
        path = job.file.path
        at = progress.current.get(path, AtWork()).seconds
        said, hint = f"no progress for {settings.stall:g} s, given up: {path}", "see the setting `stall`"
        if is_url(path):
            error = MediaUnreachable(said, uri=path, hint=f"the network may be slow: {hint}")
        else:
            error = CorruptMedia(said, uri=path, time=at, hint=f"the disk or the network may be slow: {hint}")
        return Refused(job, Failure(path, error), claimed(path))

    def watched(job: Job, beat: Beat) -> Iterator[T | Refused | Idle]:
        return work(job, partial(progress.wait, beat))

    loaded = stage(
        jobs, watched, stop=stop, workers=settings.workers, depth=2 * settings.batch, busy=progress.load,
        stall=settings.stall, on_stall=stalled, on_idle=Idle,
    )  # fmt: skip
    encoded = stage([loaded], lambda items, _: encode(items, encoder, settings.batch, progress), stop=stop, depth=4)
    try:
        yield from encoded
    finally:
        stop.set()
        encoded.close()


def _vanished(given: list[str], listed: list[Job | Refused], writer: Writer, prune: bool) -> Iterator[Indexed]:
    """Files that the library knows under the given folders, but the disk does not."""
    present = {item.job.file.path if isinstance(item, Refused) else item.file.path for item in listed}
    folders = [absolute(g) for g in given if not is_url(g)]
    roots = [r.as_posix() for r in folders if r.is_dir()]  # an unplugged disk is no reason to forget its videos
    roots += _answered(given, listed)
    catalog = writer.catalog
    for path in sorted(set(catalog.paths) - present):
        inside = any(path == r or path.startswith(r.rstrip("/") + "/") for r in roots)
        if not inside or not is_gone(path):
            continue
        _, video_id = catalog.paths[path]
        if not prune:
            yield Indexed(path, "vanished", video_id)
            continue
        video = catalog.forget(path)
        if video.files:
            writer.store.commit([video])
        yield Indexed(path, "pruned", video_id)


def _answered(given: list[str], listed: list[Job | Refused]) -> list[str]:
    """The URLs that were listed, be it with nothing in them; a service that gave no answer tells of no removal."""
    silent = {
        item.job.file.path
        for item in listed
        if isinstance(item, Refused) and type(item.failure.error) is not MediaNotFound
    }
    return [url for url in (normal(g) for g in given if is_url(g)) if url not in silent]
