"""The first step: one file is decoded once, and sampled into pictures and cut into windows for the encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from footage import frames as keyframes
from footage.catalog import VIDEO_SUFFIXES, Catalog, Job, Refused, digest
from footage.errors import CorruptMedia, MediaError, MediaNotFound, MediaUnreachable
from footage.ingest.items import Item, Known, Loaded, Picture, Piece, Run
from footage.ingest.settings import Progress
from footage.media import listen, open_video, probe
from footage.pipeline import Beat
from footage.places import Place, Remote, Spool, look, place
from footage.sampling import SamplingSettings
from footage.sounds import landmarks
from footage.types import Failure, Sample, Video
from footage.windows import WindowSample, samples_and_windows

if TYPE_CHECKING:
    from footage.encoders import Together


SPOOL_BYTES = 4 << 30  # of scratch on disk for each file behind a URL that is at work


def load(
    job: Job,
    beat: Beat,
    *,
    encoder: Together,
    catalog: Catalog,
    sampling: SamplingSettings,
    progress: Progress,
    spool_bytes: int = SPOOL_BYTES,
) -> Iterator[Item]:
    """Decode one file into pieces for the encoder, then say that it is loaded; or say why not.

    A file behind a URL is read three times, for its identity, its pictures and its sound: what was fetched lies on disk
    meanwhile, if it is no larger than `spool_bytes`.
    """
    with Spool(spool_bytes) as spool:
        found = place(job.file.path)
        if isinstance(found, Remote):
            found = Remote(found.url, spool=spool)
        yield from _load(job, found, beat, encoder=encoder, catalog=catalog, sampling=sampling, progress=progress)


def _load(
    job: Job,
    found: Place,
    beat: Beat,
    *,
    encoder: Together,
    catalog: Catalog,
    sampling: SamplingSettings,
    progress: Progress,
) -> Iterator[Item]:
    path, video_id = job.file.path, ""
    try:
        job = replace(job, file=look(path))  # in a long run it may have changed since it was listed
        if found.suffix.lower() not in VIDEO_SUFFIXES:
            probe(found)  # most of these are no videos: tell before gigabytes are read
        video_id = digest(found, beat)
        beat()  # raises when the file was given up meanwhile
        if not catalog.claim(video_id, path, sampling):
            yield Known(job, video_id)
            return
        with open_video(found, fast=sampling.fast, beat=beat) as reader:
            counts = {Picture: 0, Run: 0}
            pieces = samples_and_windows(reader.frames(), sampling, encoder.cutters(), lambda: reader.duration)
            for piece in (_piece(job, video_id, each, encoder) for each in pieces):
                progress.current[path] = (piece.at, reader.info.duration)
                counts[type(piece)] += 1
                yield piece
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
                samples=counts[Picture],
                sampling=sampling.fingerprint,
                has_audio=info.has_audio,
                broken_at=reader.broken_at,
                warning=reader.warning,
            )
        heard = landmarks(listen(found, beat=beat)) if info.has_audio else None
        if look(path) != job.file:
            raise _Changed(
                f"changed while it was read: {path}", uri=path, hint="index it again when the copy or recording is done"
            )
        yield Loaded(job, video, sum(counts.values()), heard)
    except (_Changed, MediaNotFound, MediaUnreachable) as error:
        catalog.release(video_id)
        yield Refused(job, Failure(path, error))
    except MediaError as error:
        yield Refused(job, Failure(path, error), video_id)


def _piece(job: Job, video_id: str, each: Sample | WindowSample, encoder: Together) -> Piece:
    if isinstance(each, WindowSample):
        return Run(job, video_id, each.start, each.end, each.at, each.pictures, each.cutter)
    frame = each.frame
    images = encoder.scaled(frame.width, frame.height, frame.picture)
    small = keyframes.jpeg(frame.picture(*keyframes.thumbnail_size(frame.width, frame.height)))
    return Picture(job, video_id, each.start, each.end, each.at, images, small)


class _Changed(CorruptMedia):
    """The file was written to while it was read."""
