"""Films made of nothing but a seed: a textured place that the camera passes, and things that move in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from media_samples import Picture, render
from PIL import Image

WIDTH, HEIGHT, FPS = 192, 108, 15


@lru_cache(maxsize=32)
def place(seed: int) -> Picture:
    """What the camera passes: blotches of many sizes, twice as wide as the picture."""
    rng = np.random.default_rng(seed)
    out = np.zeros((HEIGHT, 2 * WIDTH, 3), np.float32)
    for cells, weight in ((4, 1.0), (9, 0.8), (20, 0.6)):
        blotches = Image.fromarray(rng.integers(0, 256, (cells, 4 * cells, 3), dtype=np.uint8))
        out += weight * np.asarray(blotches.resize((2 * WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
    return (out / 2.4).astype(np.uint8)


def shot(seed: int, time: float, *, take: int = 0, pan: float = 12.0) -> Picture:
    """The picture of a film at a time; another take has the same place, and other things move in it otherwise."""
    picture = np.roll(place(seed), -round(time * pan), axis=1)[:, :WIDTH].copy()
    rng = np.random.default_rng((seed, take, 7))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for _ in range(5):
        colour = rng.integers(0, 256, 3)
        at, speed = rng.uniform(0.2, 0.8, 2), rng.uniform(0.5, 1.6, 2)
        phase, size = rng.uniform(0, 6.3, 2), rng.uniform(8, 18)
        cx, cy = (at + 0.25 * np.sin(speed * time + phase)) * (WIDTH, HEIGHT)
        picture[(x - cx) ** 2 + (y - cy) ** 2 < size**2] = colour
    return picture


def times(start: float, end: float, speed: float = 1.0) -> Iterator[float]:
    """The times of the film that a clip of its seconds [start, end) shows."""
    for number in range(round((end - start) / speed * FPS)):
        yield start + number / FPS * speed


def film(
    seed: int, start: float = 0.0, end: float = 8.0, *, speed: float = 1.0, take: int = 0, pan: float = 12.0
) -> Iterator[Picture]:
    """The pictures of seconds [start, end)."""
    return (shot(seed, time, take=take, pan=pan) for time in times(start, end, speed))


def still(picture: Picture, seconds: float) -> Iterator[Picture]:
    return (picture for _ in range(round(seconds * FPS)))


def card() -> Picture:
    """Colour bars over a grey ramp."""
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191)]
    for number, colour in enumerate(colours):
        out[:, number * WIDTH // 7 : (number + 1) * WIDTH // 7] = colour
    out[HEIGHT * 3 // 4 :] = np.linspace(0, 255, WIDTH)[None, :, None]
    return out


def write(path: Path, pictures: Iterable[Picture], change: Callable[[Picture], Picture] | None = None) -> Path:
    """Encode pictures, each changed on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    changed = (p if change is None else even(change(p)) for p in pictures)
    return render(path, changed, fps=FPS, options={"preset": "ultrafast", "crf": "26"})


def even(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return np.ascontiguousarray(picture[: height // 2 * 2, : width // 2 * 2])
