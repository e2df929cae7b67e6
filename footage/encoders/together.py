"""Several encoders as one: each is given pictures of its own size, or windows, and only what it is asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from footage.encoders.rows import LAYOUT
from footage.types import spaces_of
from footage.windows import Cutter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from footage.encoders import Encoder, EncoderRow, WindowEncoder
    from footage.types import Float32, Roles, UInt8, Window

Size: TypeAlias = tuple[int, int]  # width, height


class Together:
    """The encoders of one library as one: each fills its own spaces from the same pictures.

    The first one is the library's model. Without `roles` all encode pictures, or windows if that is what they look at,
    and the first one words; with them, each encodes what the roles ask its spaces for. `locks` are those of another
    `Together` that shares the encoders.
    """

    def __init__(self, *encoders: Encoder, locks: Sequence[threading.Lock] = (), roles: Roles | None = None) -> None:
        self.encoders = encoders
        # Searches with pictures go on beside an indexing run, and an encoder takes pictures of one thread at a time.
        self.locks = tuple(locks) or tuple(threading.Lock() for _ in encoders)
        everyone = list(range(len(encoders)))
        self._words = everyone[:1] if roles is None else _asked(encoders, roles, "text")
        seeing = everyone if roles is None else _asked(encoders, roles, "image", "copy")
        moving = everyone if roles is None else _asked(encoders, roles, "motion")
        self._pictures = [i for i in seeing if encoders[i].row.window is None]
        self._windows = [i for i in moving if encoders[i].row.window is not None]
        self._row = _row(encoders, roles)  # made once: it is asked for with every moment

    @staticmethod
    def of(encoder: Encoder) -> Together:
        """An encoder as a party of one; one that is several already stays as it is."""
        return encoder if isinstance(encoder, Together) else Together(encoder)

    def answering(self, roles: Roles) -> Together:
        """Those of them that the roles name; the first one answers words, if any does."""
        order = dict.fromkeys(i for role in ("text", "image", *roles) for i in _asked(self.encoders, roles, role)) or [
            0
        ]
        return Together(*(self.encoders[i] for i in order), locks=[self.locks[i] for i in order], roles=roles)

    @property
    def row(self) -> EncoderRow:
        """The row of the first one, with the spaces of all, and as calibrated as what answers is."""
        return self._row

    @property
    def fingerprint(self) -> str:
        """The fingerprints of all."""
        return " ".join(encoder.fingerprint for encoder in self.encoders)

    def input_size(self, width: int, height: int) -> Size:
        """The first one's input size."""
        return self.encoders[0].input_size(width, height)

    def input_sizes(self, width: int, height: int) -> tuple[Size, ...]:
        """The size that each encoder of pictures wants a picture of this size in; see `encode_sizes`.

        The layout takes any size, so it shares the largest picture, unless that is too coarse for it.
        """
        own = [self.encoders[i].input_size(width, height) for i in self._pictures]
        names = [self.encoders[i].row.name for i in self._pictures]
        others = [size for size, name in zip(own, names, strict=True) if name != LAYOUT.name]
        largest = max(others, key=lambda size: size[0] * size[1], default=(0, 0))
        return tuple(
            largest if name == LAYOUT.name and min(largest) >= min(size) else size
            for size, name in zip(own, names, strict=True)
        )

    def scaled(self, width: int, height: int, picture: Callable[[int, int], UInt8]) -> tuple[UInt8, ...]:
        """One picture (h, w, 3) for each encoder of pictures; `picture` scales, and is asked once for each size."""
        sizes = self.input_sizes(width, height)
        made = {size: picture(*size) for size in dict.fromkeys(sizes)}
        return tuple(made[size] for size in sizes)

    def cutters(self) -> list[Cutter]:
        """What cuts windows for the encoders that look at them, for one video."""

        def cutter(number: int) -> Cutter:
            encoder = self.encoders[number]
            window = cast("Window", encoder.row.window)
            return Cutter(window, lambda f: f.picture(*encoder.input_size(f.width, f.height)), number)

        return [cutter(number) for number in self._windows]

    def encode_windows(self, number: int, windows: Sequence[tuple[UInt8, ...]]) -> dict[str, Float32]:
        """Encode windows of one size that the cutter of this number made: `{space: float32 (n, dim)}`."""
        encoder = cast("WindowEncoder", self.encoders[number])
        with self.locks[number]:
            return encoder.encode_windows(np.stack([np.stack(window) for window in windows]))

    def encode_sizes(self, pictures: Sequence[tuple[UInt8, ...]]) -> dict[str, Float32]:
        """Encode what `scaled` made of some pictures, whose shapes are the same: `{space: float32 (n, dim)}`."""
        stacks: dict[tuple[int, ...], UInt8] = {}
        out: dict[str, Float32] = {}
        for column, number in enumerate(self._pictures):
            shape = pictures[0][column].shape
            if shape not in stacks:
                stacks[shape] = np.stack([each[column] for each in pictures])
            with self.locks[number]:
                out |= self.encoders[number].encode_images(stacks[shape])
        return out

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """The vectors of all spaces, all of them from pictures of one size."""
        out: dict[str, Float32] = {}
        for number in self._pictures:
            with self.locks[number]:
                out |= self.encoders[number].encode_images(images)
        return out

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """The vectors of those that answer words."""
        return {space: v for i in self._words for space, v in self.encoders[i].encode_texts(texts).items()}


def _asked(encoders: Sequence[Encoder], roles: Roles, *names: str) -> list[int]:
    """The encoders that fill a space which these roles name."""
    wanted = {space for name in names for space in spaces_of(roles, name)}
    return [i for i, encoder in enumerate(encoders) if wanted & {space.name for space in encoder.row.spaces}]


def _row(encoders: Sequence[Encoder], roles: Roles | None) -> EncoderRow:
    spaces = tuple(space for encoder in encoders for space in encoder.row.spaces)
    row = replace(encoders[0].row, spaces=spaces)
    if roles is None:
        return row
    calibration: dict[str, tuple[float, float]] = {}
    for kind, role in (("text", "text"), ("image", "image"), ("video", "image"), ("motion", "motion")):
        # A calibration is that of one space: scores of two together are on another scale.
        if len(spaces_of(roles, role)) == 1 and (owners := _asked(encoders, roles, role)):
            measured = encoders[owners[0]].row.calibration
            calibration |= {kind: measured[kind]} if kind in measured else {}
    return replace(row, calibration=calibration)
