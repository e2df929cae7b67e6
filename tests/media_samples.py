"""Small test videos with a known truth, rendered with PyAV: every picture carries its number as a pattern of bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Wave = NDArray[np.float32]

BITS = 10


def numbered(number: int, width: int = 160, height: int = 96) -> Picture:
    """A picture (height, width, 3) of ten bars, black for 0 and white for 1: the bits of `number`, lowest first."""
    bits = (number >> np.arange(BITS)) & 1
    row = np.repeat(bits * 200 + 25, -(-width // BITS))[:width]
    return np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.uint8)


def read_number(picture: Picture) -> int:
    """The number of a picture made by `numbered`, whatever it was scaled to or coded with."""
    grey = picture.mean(axis=(0, 2))
    centres = ((np.arange(BITS) + 0.5) * len(grey) / BITS).astype(int)
    return int(((grey[centres] > 125) << np.arange(BITS)).sum())


def scene(seed: int, width: int = 160, height: int = 96, shift: int = 0) -> Picture:
    """A picture of coloured blocks, different for every seed, moved to the right by `shift` pixels."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = np.repeat(np.repeat(blocks, -(-height // 6), axis=0), -(-width // 8), axis=1)[:height, :width]
    return np.roll(picture, shift, axis=1)


def quadrants(width: int = 160, height: int = 96) -> Picture:
    """Red, green / blue, white: tells every rotation and mirroring apart."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (220, 0, 0)
    picture[: height // 2, width // 2 :] = (0, 200, 0)
    picture[height // 2 :, : width // 2] = (0, 0, 220)
    picture[height // 2 :, width // 2 :] = (230, 230, 230)
    return picture


def corners(picture: Picture) -> str:
    """The colours of the four quarters of a picture, as in `rgbw`: upper left, upper right, lower left, lower right."""
    height, width = picture.shape[:2]
    names = ""
    for y, x in ((1, 1), (1, 3), (3, 1), (3, 3)):
        red, green, blue = (int(v) for v in picture[y * height // 4, x * width // 4])
        if min(red, green, blue) > 150:
            names += "w"
        else:
            names += "rgb"[int(np.argmax((red, green, blue)))]
    return names


@dataclass(frozen=True)
class Sound:
    """What is heard beside the pictures."""

    wave: Wave  # (channels, samples)
    rate: int = 48000
    codec: str = "aac"
    sample: str = "fltp"  # the format of a sample that the codec takes


def silence(seconds: float, rate: int = 48000, channels: int = 2) -> Sound:
    return Sound(np.zeros((channels, round(rate * seconds)), np.float32), rate)


def planar(planes: Sequence[NDArray[np.uint16]], pix_fmt: str) -> av.VideoFrame:
    """A frame of the given planes, for layouts of more than eight bits."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width] = values
    return frame


def render(
    path: Path,
    pictures: Iterable[Picture | av.VideoFrame],
    *,
    fps: int | Fraction = 25,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    layout: str = "rgb24",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    format: str | None = None,
    sar: Fraction | None = None,
    turn: tuple[float, bool, bool] | None = None,
    tags: dict[str, int] | None = None,
    timecode: str = "",
    audio: float = 0.0,
    sound: Sound | None = None,
) -> Path:
    """Encode pictures and return `path`.

    `times` are the seconds of the frames (else 0, 1/fps, ...); `turn` is (degrees counter-clockwise, mirror left-right,
    mirror top-bottom) for the display matrix; `tags` are attributes of the encoder such as color_trc; `timecode` is the
    label of the first frame; `audio` adds so many seconds of silence, `sound` any other sound.
    """
    sound = silence(audio, 16000, 1) if audio else sound
    with av.open(f"file:{path}", "w", format=format, container_options=container or {}) as out:
        stream = out.add_stream(codec, rate=fps, options=options or {})
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000) if times else 1 / Fraction(fps)
        if sar:
            stream.codec_context.sample_aspect_ratio = sar
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if timecode:
            stream.metadata["timecode"] = timecode
            if path.suffix == ".mkv":
                out.metadata["timecode"] = timecode
        shape = None if sound is None else ("mono" if len(sound.wave) == 1 else "stereo")
        track = None if sound is None else out.add_stream(sound.codec, rate=sound.rate, layout=shape)
        for index, picture in enumerate(pictures):
            frame = picture
            if isinstance(frame, np.ndarray):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=layout)
            if not index:
                stream.width, stream.height = frame.width, frame.height
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(times[index] * 1000) if times else index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None and track is not None:
            whole = av.AudioFrame.from_ndarray(sound.wave, "fltp", shape)
            whole.sample_rate, whole.pts = sound.rate, 0
            for part in av.AudioResampler(sound.sample, shape, sound.rate).resample(whole):
                out.mux(track.encode(part))
            out.mux(track.encode(None))
    return path
