"""Encoders: the protocol, and the way from a name to a row and from a row to an encoder.

A row is data (`rows.py`). `load(name)` imports the one module that implements it and builds the encoder; listing rows
loads nothing. One forward pass may fill several spaces.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.rows import FAMILIES, LAYOUT, ROWS, STARTER
from footage.errors import UnknownEncoder
from footage.types import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from footage.encoders.together import Together
    from footage.encoders.weights import Progress
    from footage.types import Float32, UInt8

__all__ = [
    "LAYOUT",
    "ROWS",
    "STARTER",
    "Encoder",
    "EncoderRow",
    "Options",
    "Together",
    "Weights",
    "Window",
    "WindowEncoder",
    "choose",
    "load",
    "lookup",
]


class Encoder(Protocol):
    """Turns pictures and words into unit-length vectors of its row's spaces."""

    @property
    def row(self) -> EncoderRow:
        """The description of this encoder, with every dimension known."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same input could give other vectors: weights, texts, graph, preprocessing."""
        ...

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) to which a picture of this displayed size is scaled before `encode_images`."""
        ...

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """Encode RGB pictures, uint8 (n, h, w, 3), as `{space: float32 (n, dim)}`; not thread-safe by contract."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """Encode words as `{space: float32 (n, dim)}` for the spaces that answer text; must not load the image side."""
        ...


class WindowEncoder(Encoder, Protocol):
    """An encoder that also looks at windows of frames; its row has a `window`."""

    def encode_windows(self, windows: UInt8) -> dict[str, Float32]:
        """Encode windows, uint8 (n, t, h, w, 3) with t the row's frames, as `{space: float32 (n, dim)}`."""
        ...


def lookup(name: str) -> EncoderRow:
    """Find the row of a model by its name, in any case, or by `prefix:REST` of a family.

    Raises:
        UnknownEncoder: no row has that name.
        EncoderError: the rest is none that the family can be asked for.
    """
    if name in ROWS:
        return ROWS[name]
    prefix, colon, rest = name.partition(":")
    for family in FAMILIES:
        if colon and family.prefix == prefix.lower():
            return cast("EncoderRow", _named(family.row)(f"{family.prefix}:{rest}", rest))
    for known, row in ROWS.items():
        if known.lower() == name.lower():
            return row
    families = [f"{family.prefix}:..." for family in FAMILIES]
    raise UnknownEncoder(f"unknown model: {name}", hint=f"one of: auto, {', '.join([*sorted(ROWS), *families])}")


def load(
    name: str, *, cache_dir: Path | None = None, options: Options | None = None, window: Window | None = None
) -> Encoder:
    """Build the encoder of that name; its weights may still load lazily. `cache_dir` keeps what is built once.

    `window` takes the place of the row's own; its number of frames is the model's.

    Raises:
        UnknownEncoder: no row has that name.
        EncoderUnavailable: its weights or its extra are not installed.
        EncoderError: its files are not what they should be.
    """
    row = lookup(name)
    if window is not None:
        row = replace(row, spaces=tuple(replace(space, window=window) for space in row.spaces))
    return cast("Encoder", _named(row.factory)(row, options or Options(cache_dir)))


def _named(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def choose(
    name: str, *, cache_dir: Path | None = None, on_progress: Progress = lambda _: None
) -> tuple[EncoderRow, str]:
    """The row for a new library, and why: `auto` is the recommended model if it can be had here, else the starter.

    A machine without a network waits for three seconds at most; where the hub answers, `auto` fetches the weights.

    Raises:
        UnknownEncoder: no row has that name.
        EncoderUnavailable: a download has begun and failed.
    """
    if name.lower() == LAYOUT.name:
        raise UnknownEncoder("the layout is part of every library, and no model by itself", hint="footage models")
    if name == "auto":
        from footage.encoders.auto import choose_auto

        return choose_auto(cache_dir, on_progress=on_progress)
    return lookup(name), "as asked"


def __getattr__(name: str) -> Any:
    """Load what needs numpy on first use: reading rows does not."""
    if name == "Together":
        from footage.encoders.together import Together

        return Together
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
