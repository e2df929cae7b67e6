"""The first step: one file is decoded once, and sampled into pictures and cut into windows for the encoders."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from footage import frames as keyframes
from footage.catalog import VIDEO_SUFFIXES, Catalog, Job, Refused, digest
from footage.errors import CorruptMedia, MediaError, MediaNotFound, MediaUnreachable
from footage.ingest.items import Item, Known, Loaded, Picture, Piece, Run
from footage.ingest.settings import AtWork, Progress
from footage.media import listen, open_video, probe
from footage.pipeline import Beat
from footage.places import Place, Remote, Spool, look, place
from footage.sampling import SamplingSettings
from footage.sounds import Landmarks, landmarks
from footage.types import Failure, MediaInfo, Sample, Video
from footage.windows import WindowSample, samples_and_windows

if TYPE_CHECKING:
    from footage.encoders import Together


def load(
    job: Job,
    beat: Beat,
    *,
    encoder: Together,
    catalog: Catalog,
    sampling: SamplingSettings,
    progress: Progress,
    spool_bytes: int,
) -> Iterator[Item]:
    """Decode one file into pieces for the encoder, then say that it is loaded; or say why not.

    A file behind a URL is read three times, for its identity, its pictures and its sound: what was fetched lies on disk
    meanwhile, if it is no larger than `spool_bytes`.
    """
    with spooled(job.file.path, spool_bytes) as found:
        yield from _load(job, found, beat, encoder=encoder, catalog=catalog, sampling=sampling, progress=progress)


@contextmanager
def spooled(path: str, limit: int) -> Generator[Place]:
    """The place of a file that is read several times: what is fetched of a URL is kept, up to so many bytes."""
    with Spool(limit) as spool:
        found = place(path)
        yield Remote(found.url, spool=spool) if isinstance(found, Remote) else found


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
    try:
        job, video_id = identify(job, beat, found)
    except MediaError as error:
        yield Refused(job, Failure(job.file.path, error))
        return
    beat()  # raises when the file was given up meanwhile
    if not catalog.claim(video_id, job.file.path, sampling):
        yield Known(job, video_id)
        return
    for item in decode(job, video_id, beat, found=found, encoder=encoder, sampling=sampling, progress=progress):
        if isinstance(item, Refused) and not item.video_id:
            catalog.release(video_id)
        yield item


def identify(job: Job, beat: Beat, found: Place | None = None) -> tuple[Job, str]:
    """Look at a file again, for it may have changed since it was listed, and read its content: job and video id.

    Raises:
        MediaError: it is not there, or no video.
    """
    found = place(job.file.path) if found is None else found
    job = replace(job, file=look(job.file.path))
    if found.suffix.lower() not in VIDEO_SUFFIXES:
        probe(found)  # most of these are no videos: tell before gigabytes are read
    return job, digest(found, beat)


def decode(
    job: Job,
    video_id: str,
    beat: Beat,
    *,
    encoder: Together,
    sampling: SamplingSettings,
    progress: Progress,
    found: Place | None = None,
) -> Iterator[Item]:
    """Decode a file whose content is known into pieces, then say that it is loaded; or say why not.

    A refusal names the content if that is to blame.
    """
    path = job.file.path
    found = place(path) if found is None else found
    try:
        with open_video(found, fast=sampling.fast, beat=beat) as reader:
            counts = {Picture: 0, Run: 0}
            pieces = samples_and_windows(reader.frames(), sampling, encoder.cutters(), lambda: reader.duration)
            for each in pieces:
                made = piece(job, video_id, each, encoder)
                progress.current[path] = AtWork(made.at, reader.info.duration, job.file.size_bytes)
                counts[type(made)] += 1
                yield made
            video = video_of(
                job, video_id, reader.info, reader.duration, counts[Picture], sampling, reader.broken_at, reader.warning
            )
        heard = hear(found, beat) if video.has_audio else None
        check_unchanged(job)
        yield Loaded(job, video, sum(counts.values()), heard)
    except MediaError as error:
        yield refusal(job, video_id, error)


def video_of(
    job: Job,
    video_id: str,
    info: MediaInfo,
    duration: float,
    samples: int,
    sampling: SamplingSettings,
    broken_at: float | None = None,
    warning: str = "",
) -> Video:
    """The row of a video that was decoded to its end."""
    return Video(
        id=video_id,
        files=(job.file,),
        duration=duration,
        width=info.width,
        height=info.height,
        fps=info.fps,
        codec=info.codec,
        container=info.container,
        recorded_at=info.recorded_at or job.file.mtime_ns / 1e9,
        samples=samples,
        sampling=sampling.fingerprint,
        has_audio=info.has_audio,
        broken_at=broken_at,
        warning=warning,
    )


def hear(path: str | Place, beat: Beat) -> Landmarks:
    """The fingerprint of the sound of a file."""
    return landmarks(listen(path, beat=beat))


def check_unchanged(job: Job) -> None:
    """Raise where the file is no longer as it was when the job began."""
    path = job.file.path
    if look(path) != job.file:
        raise _Changed(
            f"changed while it was read: {path}", uri=path, hint="index it again when the copy or recording is done"
        )


def refusal(job: Job, video_id: str, error: MediaError) -> Refused:
    """Why a file cannot be indexed; what says nothing of its content leaves other copies to be tried."""
    blameless = isinstance(error, (_Changed, MediaNotFound, MediaUnreachable))
    return Refused(job, Failure(job.file.path, error), "" if blameless else video_id)


def piece(job: Job, video_id: str, each: Sample | WindowSample, encoder: Together) -> Piece:
    """What the encoder is to see of a sample or a window."""
    if isinstance(each, WindowSample):
        return Run(job, video_id, each.start, each.end, each.at, each.pictures, each.cutter)
    frame = each.frame
    images = encoder.scaled(frame.width, frame.height, frame.picture)
    small = keyframes.jpeg(frame.picture(*keyframes.thumbnail_size(frame.width, frame.height)))
    return Picture(job, video_id, each.start, each.end, each.at, images, small)


class _Changed(CorruptMedia):
    """The file was written to while it was read."""
