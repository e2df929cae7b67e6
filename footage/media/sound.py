"""The sound of a clip: decoded, cut to the sample, and encoded as AAC beside the pictures."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from footage.media.listening import samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.media.source import Source

_RATES = frozenset((96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000))  # of AAC
_BIT_RATE = 96_000  # bits per second and channel
_BLOCK = 1024  # samples, of a packet of AAC


def mono(source: Source, start: float, end: float, rate: int) -> NDArray[np.float32]:
    """Seconds [start, end) of the sound of a source that has some, as (n,) float32; silence where it has a gap."""
    wanted = round((end - start) * rate)
    parts: list[NDArray[np.float32]] = []
    have = 0
    with closing(_samples(source, start, rate, "mono")) as blocks:
        for block in blocks:
            parts.append(block[0, : wanted - have])
            have += len(parts[-1])
            if have >= wanted:
                break
    return np.concatenate([*parts, np.zeros(wanted - have, np.float32)])


def _samples(source: Source, begin: float, rate: int, layout: str) -> Generator[NDArray[np.float32]]:
    zero = source.zero_seconds
    return samples(source.path, zero=zero, rate=rate, layout=layout, begin=begin, can_seek=source.can_seek)


class Sound:
    """The sound of the best audio track from `begin` on (seconds of the source), written in step with the pictures."""

    def __init__(self, source: Source, out: Any, begin: float) -> None:
        self._begin, self._out = begin, out
        info = source.info
        self._rate = info.audio_rate if info.audio_rate in _RATES else 48000
        self._layout = "stereo" if info.audio_channels > 1 else "mono"
        self._channels = 2 if info.audio_channels > 1 else 1
        self._stream: Any = out.add_stream("aac", rate=self._rate)
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.bit_rate = _BIT_RATE * self._channels
        self._blocks = _samples(source, begin, self._rate, self._layout)
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
