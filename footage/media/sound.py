"""The sound of a clip: decoded, cut to the sample, and encoded as AAC beside the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import numpy as np

from footage.media.opening import open_container
from footage.media.source import Source, packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from numpy.typing import NDArray

_RATES = frozenset((96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000))  # of AAC
_BIT_RATE = 96_000  # bits per second and channel
# Stamps of sound are rounded to the clock of the container; only what is further off is a gap or an overlap.
_SLACK = 0.03  # seconds
_RUN_UP = 1.0  # seconds; a decoder of sound needs some packets before it is right
_BLOCK = 1024  # samples, of a packet of AAC


def mono(source: Source, start: float, end: float, rate: int) -> NDArray[np.float32]:
    """Seconds [start, end) of the sound of a source that has some, as (n,) float32; silence where it has a gap."""
    reader = _Reader(source, start, rate, "mono")
    wanted = round((end - start) * rate)
    parts: list[NDArray[np.float32]] = []
    have = 0
    for block in reader.samples():
        parts.append(block[0, : wanted - have])
        have += len(parts[-1])
        if have >= wanted:
            break
    return np.concatenate([*parts, np.zeros(wanted - have, np.float32)])


class Sound:
    """The sound of the best audio track from `begin` on (seconds of the source), written in step with the pictures."""

    def __init__(self, source: Source, out: Any, begin: float) -> None:
        self._source, self._begin, self._out = source, begin, out
        info = source.info
        self._rate = info.audio_rate if info.audio_rate in _RATES else 48000
        self._layout = "stereo" if info.audio_channels > 1 else "mono"
        self._channels = 2 if info.audio_channels > 1 else 1
        self._stream: Any = out.add_stream("aac", rate=self._rate)
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.bit_rate = _BIT_RATE * self._channels
        self._blocks = _Reader(source, begin, self._rate, self._layout).samples()
        self._waiting: NDArray[np.float32] = np.zeros((self._channels, 0), np.float32)
        self._at = 0  # samples written
        self._over = False

    def write(self, until: float) -> None:
        """Encode what belongs before `until` (seconds of the source), in whole packets."""
        wanted = round((until - self._begin) * self._rate) - self._at
        self._fill(wanted)
        whole = min(wanted, self._waiting.shape[1]) // _BLOCK * _BLOCK
        self._encode(whole)

    def finish(self, until: float) -> None:
        """Encode the rest up to `until`; sound that ends earlier leaves the clip silent from there."""
        wanted = round((until - self._begin) * self._rate) - self._at
        self._fill(wanted)
        self._encode(min(wanted, self._waiting.shape[1]))
        if self._at:
            self._out.mux(self._stream.encode(None))
        self._blocks.close()

    def _fill(self, wanted: int) -> None:
        while self._waiting.shape[1] < wanted and not self._over:
            block = next(self._blocks, None)
            if block is None:
                self._over = True
            else:
                self._waiting = np.concatenate((self._waiting, block), axis=1)

    def _encode(self, count: int) -> None:
        if count <= 0:
            return
        block, self._waiting = self._waiting[:, :count], self._waiting[:, count:]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._at, Fraction(1, self._rate)
        self._at += count
        self._out.mux(self._stream.encode(frame))


class _Reader:
    """The samples of the best audio track from `begin` on, whatever gaps and overlaps the file has."""

    def __init__(self, source: Source, begin: float, rate: int, layout: str) -> None:
        self._source, self._begin, self._rate, self._layout = source, begin, rate, layout
        self._channels = 1 if layout == "mono" else 2

    def samples(self) -> Any:
        """Blocks (channels, n) of float32 without gaps, the first sample lying at `begin`."""
        cursor = 0  # the next sample that is due, counted from `begin`
        slack = round(_SLACK * self._rate)
        for time, block in self._decoded():
            at = round((time - self._begin) * self._rate)
            if abs(at - cursor) <= slack and cursor:
                at = cursor
            if at > cursor:
                yield np.zeros((self._channels, at - cursor), np.float32)
                cursor = at
            rest = block[:, cursor - at :]
            if rest.shape[1]:
                yield rest
                cursor += rest.shape[1]

    def _decoded(self) -> Iterator[tuple[float, NDArray[np.float32]]]:
        """(seconds of the source, samples) from before `begin` on."""
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        with closing(open_container(self._source.path)) as container:
            for frame in self._frames(container):
                stamp = frame.pts
                if stamp is None:
                    continue
                time = float(stamp * cast("Fraction", frame.time_base)) - self._source.zero_seconds
                for part in resampler.resample(frame):
                    yield time, cast("NDArray[np.float32]", part.to_ndarray())
                    time += part.samples / self._rate

    def _frames(self, container: InputContainer) -> Iterator[av.AudioFrame]:
        stream = container.streams.audio[0]
        if self._source.can_seek and self._begin > 2 * _RUN_UP:
            container.seek(round((self._source.zero_seconds + self._begin - _RUN_UP) * av.time_base))
        decoder = cast("Any", stream.codec_context)
        for packet in packets(container, [stream]):
            try:
                frames = decoder.decode(packet)
            except av.error.FFmpegError:
                continue
            yield from frames
