"""The attacks of the copy benchmark by name, and what each strength of them means.

Three strengths: light (what a platform does on upload), medium (what people do who share), strong (what is done to
hide a copy). Numbers are drawn from ranges, so that no two copies are alike; the ranges are the benchmark's definition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from footage.evaluate import pictures, timeline
from footage.media.write import Coding, can_write

if TYPE_CHECKING:
    import numpy as np

    from footage.evaluate.pictures import Effect
    from footage.evaluate.timeline import Filler, Pieces

    Random: TypeAlias = np.random.Generator

LEVELS = ("light", "medium", "strong")

_WORDS = "subscribe now", "breaking news", "what happens next?", "follow @nobody", "part 2 in bio", "wait for the end"


def _crop(r: Random, level: int) -> Effect:
    keep = r.uniform(*((0.85, 0.95), (0.7, 0.85), (0.5, 0.7))[level])
    return partial(pictures.crop, keep=keep, x=r.random(), y=r.random())


def _rotate(r: Random, level: int) -> Effect:
    if level == 2 and r.random() < 0.6:
        return partial(pictures.rotate, degrees=float(r.choice((90, 180, 270))))
    least, most = ((2, 5), (6, 12), (15, 30))[level]
    return partial(pictures.rotate, degrees=float(r.choice((-1, 1)) * r.uniform(least, most)))


def _letterbox(r: Random, level: int) -> Effect:
    room = r.uniform(*((0.1, 0.2), (0.2, 0.35), (0.35, 0.55))[level])
    return partial(pictures.letterbox, room=room, across=bool(r.random() < 0.4))


def _border(r: Random, level: int) -> Effect:
    width = r.uniform(*((0.03, 0.06), (0.07, 0.14), (0.15, 0.3))[level])
    return partial(pictures.border, width=width, seed=int(r.integers(1 << 30)))


def _scale(r: Random, level: int) -> Effect:
    factor = r.uniform(*((0.6, 0.8), (0.35, 0.55), (0.2, 0.3))[level])
    return partial(pictures.scale, factor=factor, squeeze=r.uniform(*((1, 1), (0.85, 1.0), (0.65, 0.85))[level]))


def _blur(r: Random, level: int) -> Effect:
    return partial(pictures.blur, share=r.uniform(*((0.004, 0.008), (0.01, 0.018), (0.022, 0.04))[level]))


def _noise(r: Random, level: int) -> Effect:
    sigma = r.uniform(*((5, 10), (15, 25), (35, 55))[level])
    return partial(pictures.noise, sigma=sigma, seed=int(r.integers(1 << 30)))


def _colour(r: Random, level: int) -> Effect:
    much = (0.3, 0.6, 1.0)[level]
    sign = r.choice((-1.0, 1.0), 4) * r.uniform(0.7, 1.0, 4) * much
    return partial(
        pictures.colour,
        brightness=0.25 * sign[0],
        contrast=1 + 0.5 * sign[1],
        gamma=2 ** (0.9 * sign[2]),
        saturation=max(0.0, 1 + 0.9 * sign[3]),
    )


def _grey(r: Random, level: int) -> Effect:
    return partial(pictures.grey, left=(r.uniform(0.3, 0.5), r.uniform(0.0, 0.15), 0.0)[level])


def _text(r: Random, level: int) -> Effect:
    share = r.uniform(*((0.05, 0.07), (0.09, 0.13), (0.16, 0.24))[level])
    words = "\n".join(str(w) for w in r.choice(_WORDS, level + 1, replace=False))
    x, y = r.uniform(0.1, 0.9, 2)
    return partial(pictures.text, words=words, share=share, x=x, y=y, seed=int(r.integers(1 << 30)))


def _logo(r: Random, level: int) -> Effect:
    share = r.uniform(*((0.1, 0.14), (0.18, 0.26), (0.32, 0.45))[level])
    x, y = (0.05, 0.95) if level < 2 else (0.2, 0.8)
    return partial(
        pictures.logo, share=share, x=float(r.choice((x, y))), y=float(r.choice((x, y))), seed=int(r.integers(1 << 30))
    )


def _inset(r: Random, level: int) -> Effect:
    size = r.uniform(*((0.75, 0.85), (0.55, 0.7), (0.35, 0.5))[level])
    return partial(pictures.picture_in_picture, size=size, x=r.random(), y=r.random())


def _fade(r: Random, level: int) -> Effect:
    return partial(pictures.fade, length=r.uniform(*((0.05, 0.08), (0.1, 0.2), (0.25, 0.4))[level]))


def _flip(_r: Random, _level: int) -> Effect:
    return pictures.flip


GEOMETRY: dict[str, Callable[[Random, int], Effect]] = {
    "crop": _crop,
    "flip": _flip,
    "rotate": _rotate,
    "letterbox": _letterbox,
    "border": _border,
    "scale": _scale,
    "picture_in_picture": _inset,
}
LOOK: dict[str, Callable[[Random, int], Effect]] = {
    "blur": _blur,
    "noise": _noise,
    "colour": _colour,
    "grey": _grey,
    "text": _text,
    "logo": _logo,
    "fade": _fade,
}


def _room(pieces: Pieces, rate: int) -> bool:
    """Whether the longest answer can be cut in two that are worth being found."""
    return pieces[timeline.longest(pieces)].frames >= 2.4 * rate


def _speed(pieces: Pieces, r: Random, level: int, _rate: int, _filler: Filler) -> Pieces:
    factor = r.uniform(*((1.05, 1.15), (1.2, 1.5), (1.6, 2.0))[level])
    return timeline.speed(pieces, factor if r.random() < 0.5 else 1 / factor)


def _cut(pieces: Pieces, r: Random, level: int, rate: int, _filler: Filler) -> Pieces:
    for _ in range((1, 1, 2)[level]):
        if not _room(pieces, rate):
            break
        pieces = timeline.cut(
            pieces, r.uniform(0.3, 0.5), r.uniform(*((0.05, 0.1), (0.15, 0.25), (0.2, 0.35))[level]), rate
        )
    return pieces


def _splice(pieces: Pieces, r: Random, level: int, rate: int, filler: Filler) -> Pieces:
    for _ in range((1, 1, 2)[level]):
        if not _room(pieces, rate):
            return pieces
        other = filler(max(1, round(r.uniform(*((0.5, 1.0), (1.0, 2.0), (1.5, 3.0))[level]) * rate)))
        pieces = timeline.splice(pieces, r.uniform(0.35, 0.65), other, rate)
    if level < 2 or not _room(pieces, rate):
        return pieces
    return timeline.swap(pieces, r.uniform(0.35, 0.65), rate)


def _loop(pieces: Pieces, r: Random, level: int, rate: int, _filler: Filler) -> Pieces:
    return timeline.loop(pieces, (2, 2, 3)[level], r.uniform(*((0.9, 1.0), (0.5, 0.8), (0.3, 0.6))[level]), rate)


TIME: dict[str, Callable[[Pieces, Random, int, int, Filler], Pieces]] = {
    "speed": _speed,
    "cut": _cut,
    "splice": _splice,
    "loop": _loop,
}

_X264 = (("preset", "superfast"),)
_CODERS: dict[str, Callable[[int], Coding]] = {
    "libx264": lambda n: Coding("libx264", ".mp4", (*_X264, ("crf", str((28, 36, 44)[n])))),
    "libx264-rate": lambda n: Coding("libx264", ".mkv", _X264, bit_rate=(500_000, 180_000, 60_000)[n]),
    "libx265": lambda n: Coding(
        "libx265",
        ".mp4",
        (("preset", "ultrafast"), ("crf", str((28, 36, 44)[n])), ("x265-params", "log-level=none:pools=1")),
    ),
    "libvpx-vp9": lambda n: Coding(
        "libvpx-vp9",
        ".webm",
        (("deadline", "realtime"), ("cpu-used", "8"), ("crf", str((36, 48, 60)[n]))),
        bit_rate=(600_000, 250_000, 80_000)[n],
    ),
    "mpeg4": lambda n: Coding("mpeg4", ".mp4", quantiser=(5, 12, 26)[n]),
    "mpeg2video": lambda n: Coding("mpeg2video", ".ts", quantiser=(6, 14, 28)[n]),
    "mjpeg": lambda n: Coding("mjpeg", ".mkv", quantiser=(8, 18, 31)[n]),
    "flv": lambda n: Coding("flv", ".flv", quantiser=(6, 14, 28)[n]),
}


def coding(r: Random, level: int) -> Coding:
    """A codec, and how much of the picture it throws away."""
    names = [name for name, make in _CODERS.items() if can_write(make(0).codec)]
    return _CODERS[names[int(r.integers(len(names)))]](level)


DROPPED = (0.1, 0.3, 0.55)
"""The share of frames that `drop` leaves out, by strength."""
NAMES = (*GEOMETRY, *LOOK, *TIME, "drop", "encode", "sound")
"""Every attack; `sound` puts another sound under the same picture."""
