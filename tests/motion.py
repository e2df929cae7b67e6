"""A small encoder of motion in numpy, and clips in which something moves one way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from media_samples import Picture, render

from footage.encoders import EncoderRow, Options
from footage.types import Space, Window

FPS = 20
WAYS = {"left": (-3, 0), "right": (3, 0), "up": (0, -3), "down": (0, 3)}
ROW = EncoderRow(
    name="tiny-motion", spaces=(Space("tiny-motion", 9, ("window",), Window(8, 1.0, 0.5)),), languages=(),
    licence="test", source="", size_mb=0, install="", summary="normal flow in numpy", factory="motion:build",
)  # fmt: skip


class TinyMotion:
    """Normal flow (Horn and Schunck 1981, before they smooth it): directions weighted by energy, and one for rest."""

    def __init__(self, row: EncoderRow = ROW) -> None:
        self.row = row
        self.fingerprint = "tiny-motion-1"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        return 40, 30

    def encode_images(self, images: Picture) -> dict[str, Any]:
        return self.encode_windows(np.repeat(images[:, None], 2, axis=1))

    def encode_windows(self, windows: Picture) -> dict[str, Any]:
        grey = windows.astype(np.float32).mean(axis=-1)
        change = np.diff(grey, axis=1)
        down, across = np.gradient(grey[:, :-1], axis=(2, 3))
        steep = np.maximum(across**2 + down**2, 1.0)
        x, y = -change * across / steep, -change * down / steep
        bins = np.round(np.arctan2(y, x) / (np.pi / 4)).astype(int) % 8
        energy = np.where(np.abs(change) > 6, np.hypot(x, y), 0.0)
        out = np.full((len(windows), 9), 0.02, np.float32)
        for number in range(8):
            out[:, number] = np.where(bins == number, energy, 0.0).mean(axis=(1, 2, 3))
        return {self.row.spaces[0].name: out / np.linalg.norm(out, axis=1, keepdims=True)}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Any]:
        return {}


def build(row: EncoderRow, _options: Options) -> TinyMotion:
    return TinyMotion(row)


def soft(rng: np.random.Generator, width: int, height: int, coarse: int) -> Picture:
    """Blots of colour without edges, so that motion can be measured everywhere."""
    from PIL import Image

    small = rng.integers(0, 256, (max(2, height // coarse), max(2, width // coarse), 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def moving(seed: int, way: str, frames: int, width: int = 160, height: int = 120) -> Iterator[Picture]:
    """A patch that goes one way across a still ground; around the edge it comes back on the other side."""
    rng = np.random.default_rng(seed)
    ground, patch = soft(rng, width, height, 24), soft(rng, 40, 40, 6)
    x, y = rng.integers(0, width), rng.integers(0, height)
    across, down = WAYS.get(way, (0, 0))
    for step in range(frames):
        rows = (y + down * step + np.arange(40)) % height
        columns = (x + across * step + np.arange(40)) % width
        picture = ground.copy()
        picture[np.ix_(rows, columns)] = patch
        yield picture


def film(path: Path, seed: int, *ways: str, seconds: float = 3.0) -> Path:
    """A film of so many seconds for each way; any other word than those of `WAYS` stands still."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = (p for way in ways for p in moving(seed, way, round(seconds * FPS)))
    return render(path, pictures, fps=FPS, options={"preset": "ultrafast"})
