"""The first step: one file is decoded once, and sampled into pictures and cut into windows for the encoders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from footage import frames as keyframes
from footage.catalog import VIDEO_SUFFIXES, Catalog, Job, Refused, digest
from footage.errors import CorruptMedia, MediaError, MediaNotFound, UnsupportedMedia
from footage.ingest.items import Item, Known, Loaded, Picture, Piece, Run
from footage.ingest.settings import Progress
from footage.media import open_video, probe
from footage.pipeline import Beat
from footage.sampling import SamplingSettings
from footage.types import Failure, MediaFile, Sample, Video
from footage.windows import WindowSample, samples_and_windows

if TYPE_CHECKING:
    from footage.encoders import Together


def load(
    job: Job, beat: Beat, *, encoder: Together, catalog: Catalog, sampling: SamplingSettings, progress: Progress
) -> Iterator[Item]:
    """Decode one file into pieces for the encoder, then say that it is loaded; or say why not."""
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
        if _look(path) != job.file:
            raise _Changed(
                f"changed while it was read: {path}", uri=path, hint="index it again when the copy or recording is done"
            )
        yield Loaded(job, video, sum(counts.values()))
    except (_Changed, MediaNotFound) as error:
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


def _look(path: str) -> MediaFile:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise MediaNotFound(f"cannot read: {path}: {error.strerror}", uri=path) from error
    if not stat.S_ISREG(facts.st_mode):  # a pipe or a device might never end
        raise UnsupportedMedia(f"not a regular file: {path}", uri=path)
    return MediaFile(path, facts.st_size, facts.st_mtime_ns)
