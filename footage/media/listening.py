"""The sound of a file as samples: the best audio track, without gaps, on the clock of the pictures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np
from av.stream import Discard

from footage.errors import MediaError
from footage.media import sniff
from footage.media.opening import open_container, packets, player_zero, video_stream
from footage.places import Place, place

if TYPE_CHECKING:
    from av.container import InputContainer
    from numpy.typing import NDArray

# Stamps of sound are rounded to the clock of the container; only what is further off is a gap or an overlap.
_SLACK = 0.03  # seconds
_RUN_UP = 1.0  # seconds; a decoder of sound needs some packets before it is right
_LONGEST_GAP = 6 * 3600.0  # seconds of silence that are believed; a broken stamp must not become terabytes of it
_SILENCE = 1 << 16  # samples of silence in one block

Beat = Callable[[], None]


def listen(path: str | Place, *, rate: int = 8000, beat: Beat | None = None) -> Generator[NDArray[np.float32]]:
    """Yield the sound of a video or of a file of sound as mono blocks float32 (n,), -1..1; the first begins at time 0.

    Nothing comes of a file without sound, and what can be decoded of a damaged one. `beat` is called at every packet.

    Raises:
        MediaNotFound: there is no such file.
        UnsupportedMedia: it is no media at all.
    """
    file = place(path)
    sniff.regular_file(file)
    with closing(open_container(file)) as container:
        if not container.streams.audio:
            return
        zero = _zero(container, file)
    for block in samples(file, zero=zero, rate=rate, layout="mono", beat=beat):
        yield block[0]


def samples(
    path: Place,
    *,
    zero: float,
    rate: int,
    layout: str,
    begin: float = 0.0,
    can_seek: bool = False,
    beat: Beat | None = None,
) -> Generator[NDArray[np.float32]]:
    """Yield blocks float32 (channels, n) without gaps, the first sample lying at `begin` seconds.

    `zero` is the stamp of time 0, in seconds of the file's own clock.
    """
    channels = 1 if layout == "mono" else 2
    cursor = 0  # the next sample that is due, counted from `begin`
    slack = round(_SLACK * rate)
    for time, block in _decoded(path, zero, rate, layout, begin, can_seek, beat or (lambda: None)):
        at = round((time - begin) * rate)
        if abs(at - cursor) <= slack and cursor:
            at = cursor
        if at - cursor > _LONGEST_GAP * rate:
            at = cursor
        while at > cursor:
            count = min(at - cursor, _SILENCE)
            yield np.zeros((channels, count), np.float32)
            cursor += count
        rest = block[:, cursor - at :]
        if rest.shape[1]:
            yield rest
            cursor += rest.shape[1]


def _zero(container: InputContainer, path: Place) -> float:
    """The stamp of time 0 of the pictures, in seconds; of the sound where there are none."""
    try:
        stream = video_stream(container, path)
        zero = player_zero(container, stream)
        return float(zero * stream.time_base) if zero is not None and stream.time_base else 0.0
    except MediaError:
        return (container.start_time or 0) / av.time_base


def _decoded(
    path: Place, zero: float, rate: int, layout: str, begin: float, can_seek: bool, beat: Beat
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """(seconds of the source, samples) from before `begin` on."""
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    with closing(open_container(path)) as container:
        for frame in _frames(container, zero + begin if can_seek and begin > 2 * _RUN_UP else None, beat):
            stamp = frame.pts
            if stamp is None:
                continue
            time = float(stamp * cast("Fraction", frame.time_base)) - zero
            try:
                parts = resampler.resample(frame)
            except (av.error.FFmpegError, ValueError):  # another layout or rate in the middle of the track
                resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
                parts = resampler.resample(frame)
            for part in parts:
                yield time, cast("NDArray[np.float32]", part.to_ndarray())
                time += part.samples / rate


def _frames(container: InputContainer, start: float | None, beat: Beat) -> Iterator[av.AudioFrame]:
    stream = container.streams.best("audio") or container.streams.audio[0]
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    if start is not None:
        container.seek(round((start - _RUN_UP) * av.time_base))
    decoder = cast("Any", stream.codec_context)
    if decoder is None:  # a codec that libav does not have
        return
    for packet in packets(container, [stream]):
        beat()
        try:
            frames = decoder.decode(packet)
        except av.error.FFmpegError:
            continue
        yield from frames
