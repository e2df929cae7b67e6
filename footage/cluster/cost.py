"""What a video will cost to index, before it is decoded: an estimate from what its container says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from footage.sampling import SamplingSettings
    from footage.types import MediaInfo

# Nanoseconds of one core to decode a pixel and look at it. Measured on real files (docs/scale.md) but for hevc, vp9 and
# MPEG, which are put beside what is akin to them; a codec that is not here costs as much as H.264.
_DECODE = {"h264": 3.5, "hevc": 6.0, "av1": 8.0, "vp9": 5.0, "vp8": 3.0, "theora": 4.0, "mpeg4": 2.5, "mpeg2video": 2.5}
_OTHER = 3.5
_SOUND = 0.01  # core-seconds for a second of sound
_FAST = 0.1  # share of the decoding that key frames alone cost
_SAMPLES = 1.2  # samples for each one that the clock asks for: cuts add some
_BIT_RATE = 500_000  # bytes a second of a video whose container does not tell its length


def estimate(info: MediaInfo, size_bytes: int, sampling: SamplingSettings, encode_seconds: float) -> float:
    """Core-seconds to index a video; `encode_seconds` is what one sample costs the encoders."""
    seconds = info.duration or size_bytes / _BIT_RATE
    pixels = info.width * info.height * (info.fps if 0 < info.fps <= 300 else 25.0)
    decode = pixels * _DECODE.get(info.codec, _OTHER) * 1e-9 * (_FAST if sampling.fast else 1.0)
    sound = _SOUND if info.has_audio else 0.0
    return seconds * (decode + sound + _SAMPLES / sampling.every * encode_seconds)
