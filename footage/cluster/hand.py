"""What runs on the other side: one process that decodes and encodes what it is given. It writes nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from footage import __version__
from footage.catalog import Job, Refused
from footage.cluster.cost import estimate
from footage.cluster.orders import Answer, Heard, Identified, Member, Order, Ready, Report, Spec, Surveyed
from footage.errors import FootageError, MediaError, SpaceMismatch
from footage.ingest import Encoded, Idle, Progress
from footage.ingest.loading import check_unchanged, decode, hear, identify, refusal, spooled
from footage.ingest.parts import decode_part
from footage.ingest.run import loaded_and_encoded
from footage.media import key_times, probe
from footage.pipeline import Beat
from footage.places import is_url
from footage.types import Failure, Window

if TYPE_CHECKING:
    from footage.encoders import Together
    from footage.ingest.parts import Part

_PIECES = 256  # in one answer at most: some 5 MB
_SECONDS = 2.0  # between two answers at most, while there is something to tell
_PROBE = (4, 256)  # pictures, and their side, to measure the encoders with
_PROBES = 5  # how often, the first not counted: what else the machine does lengthens some of them

_Work = Callable[[Job, Beat], Iterator[Any]]


class Hand:
    """Carries out orders, several at a time on threads of its caller."""

    def __init__(self, spec: Spec, share: tuple[int, int]) -> None:
        """`share` is (number of this hand, how many there are) on this machine."""
        self._spec, self._share = spec, share
        self._lock = threading.Lock()
        self._load = self._encode = 0.0
        self._encoder: Together | None = None
        self._encode_seconds = 0.0

    def ready(self) -> Ready | FootageError:
        """Load the encoders, and measure them; gives what is wrong with this machine instead of raising it."""
        number, of = self._share
        if of > 1 and hasattr(os, "sched_setaffinity"):  # else each would start threads for all cores
            mine = sorted(os.sched_getaffinity(0))[number::of]
            os.sched_setaffinity(0, mine or os.sched_getaffinity(0))
        try:
            self._encoder = _built(self._spec)
        except FootageError as error:
            return error
        self._encode_seconds = _measured(self._encoder)
        return Ready(self._encode_seconds)

    def lives(self) -> bool:
        """Say so."""
        return True

    def run(self, order: Order) -> Iterator[Answer]:
        """Carry out an order; yields what comes of it, the last of it last."""
        progress = Progress()
        settings = replace(self._spec.ingest, workers=1)
        items = loaded_and_encoded(
            [order.job],
            self._work(order, progress),
            self._together,
            settings,
            progress,
            lambda path: "" if is_url(path) else order.video_id,  # a slow network is no fault of the content
        )
        waiting: list[Any] = []
        pieces, since = 0, time.monotonic()
        for item in items:
            if not isinstance(item, Idle):
                waiting.append(item.light() if isinstance(item, Encoded) else item)
            pieces += len(item.pieces) if isinstance(item, Encoded) else 0
            if pieces >= _PIECES or (pieces and time.monotonic() - since > _SECONDS):
                yield Answer(waiting, self._report(progress))
                waiting, pieces, since = [], 0, time.monotonic()
        yield Answer(waiting, self._report(progress), last=True)

    @property
    def _together(self) -> Together:
        if self._encoder is None:
            raise RuntimeError("an order before the hand was ready")
        return self._encoder

    def _report(self, progress: Progress) -> Report:
        with self._lock:
            self._load += progress.load.seconds
            self._encode += progress.encode.seconds
            progress.load.seconds = progress.encode.seconds = 0.0
            return Report(time.process_time(), self._load, self._encode)

    def _work(self, order: Order, progress: Progress) -> _Work:
        encoder, sampling = self._together, self._spec.ingest.sampling
        if order.what == "survey":
            return self._survey
        if order.what == "identify":
            return _identify
        if order.what == "sound":
            return partial(_sound, video_id=order.video_id)
        if order.part is not None:
            return partial(_part, order=order, part=order.part, encoder=encoder, sampling=sampling, progress=progress)
        how = {"encoder": encoder, "sampling": sampling, "progress": progress}
        return partial(_whole, order=order, spool_bytes=self._spec.ingest.spool_bytes, **how)

    def _survey(self, job: Job, beat: Beat) -> Iterator[Surveyed]:
        try:
            info = probe(job.file.path)
            cost = estimate(info, job.file.size_bytes, self._spec.ingest.sampling, self._encode_seconds)
            beat()
            enter = cost > self._spec.split_cost and not self._spec.ingest.sampling.fast
            yield Surveyed(job, info.duration, cost, tuple(key_times(job.file.path)) if enter else ())
        except MediaError:  # told when it is read: what cannot be opened costs nothing
            yield Surveyed(job)


def _identify(job: Job, beat: Beat) -> Iterator[Identified | Refused]:
    try:
        yield Identified(*identify(job, beat))
    except MediaError as error:
        yield Refused(job, Failure(job.file.path, error))


def _sound(job: Job, beat: Beat, *, video_id: str) -> Iterator[Heard | Refused]:
    try:
        heard = hear(job.file.path, beat)
        check_unchanged(job)
        yield Heard(heard)
    except MediaError as error:
        yield refusal(job, video_id, error)


def _whole(job: Job, beat: Beat, *, order: Order, spool_bytes: int, **how: Any) -> Iterator[Any]:
    with spooled(job.file.path, spool_bytes) as found:  # for its pictures and its sound
        yield from decode(job, order.video_id, beat, found=found, **how)


def _part(job: Job, beat: Beat, *, order: Order, part: Part, **how: Any) -> Iterator[Any]:
    return decode_part(job, order.video_id, part, beat, **how)


def _built(spec: Spec) -> Together:
    if spec.version != __version__:
        raise SpaceMismatch(
            f"this machine has Footage {__version__}, the one that indexes has {spec.version}",
            hint="install the same version on every machine of the cluster",
        )
    from footage import encoders
    from footage.encoders.together import Together

    options = encoders.Options(Path(spec.cache_dir) if spec.cache_dir else None, spec.device)
    return Together(*(_member(member, options) for member in spec.members))


def _member(member: Member, options: Any) -> Any:
    from footage import encoders

    window = Window(*member.window) if member.window else None
    encoder = encoders.load(member.name, cache_dir=options.cache_dir, options=options, window=window)
    if encoder.fingerprint != member.fingerprint:
        raise SpaceMismatch(
            f"this machine has another version of the model {member.name}",
            hint="install the same packages and weights on every machine of the cluster",
        )
    return encoder


def _measured(encoder: Together) -> float:
    """Processor seconds that one sample costs the encoders of pictures; they are warm then."""
    import numpy as np

    count, side = _PROBE
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    sizes = encoder.input_sizes(16 * side, 9 * side)
    pictures: Sequence[Any] = [tuple(np.resize(noise, (h, w, 3)) for w, h in sizes)] * count
    if not sizes:
        return 0.0
    spent: list[float] = []
    for _ in range(1 + _PROBES):
        started = time.process_time()
        encoder.encode_sizes(pictures)
        spent.append((time.process_time() - started) / count)
    return median(spent[1:])
