"""Text-image models as ONNX on onnxruntime, without torch, in the three layouts that are about.

    Immich            config.json  visual/model.onnx, preprocess_cfg.json  textual/model.onnx, tokenizer.json, ...
    Xenova, onnx-community         onnx/vision_model*.onnx, text_model*.onnx  preprocessor_config.json  tokenizer.json
    our own export    one of the above with a footage.json, which says how to prepare pictures and words

The two towers load separately, each on first use: a query in words never loads the image tower.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage.encoders import tokens
from footage.encoders.onnx.layouts import answers_words, read_layout, told_dim, xenova
from footage.encoders.onnx.tower import Tower
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.rows import IMMICH
from footage.encoders.weights import Held, require
from footage.errors import EncoderError
from footage.types import Space

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from footage.encoders.tokens import Tokens
    from footage.types import Float32, Query, UInt8

OWN = ("footage.json", "visual/model.onnx", "textual/model.onnx", "textual/tokenizer.json")
"""The files of a model in our own layout; one that answers no words has the first two."""

_VERSION = 1  # of this file: raise it when the same files could give other vectors
_BATCH = 16  # pictures in one pass where the graph takes any number; more is no faster on a CPU


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `onnx:FOLDER` or `onnx:OWNER/NAME`, with `#VARIANT` after it for another file of the same model.

    Raises:
        EncoderError: neither a folder nor the name of a repository.
    """
    where, _, variant = rest.partition("#")
    folder = Path(where).expanduser()
    files = ("*.json", "visual/*", "textual/*", *xenova(variant)[:2], *(f"{f}_data" for f in xenova(variant)[:2]))
    needs = (IMMICH, xenova(variant), OWN, OWN[:2]) if not variant else (xenova(variant),)
    answers: tuple[Query, ...] = ("text", "image")
    if where and folder.is_dir():
        folder = folder.absolute()
        weights = Weights(folder=str(folder), files=files, needs=needs)
        dim = told_dim(folder)
        answers = answers if answers_words(folder) else ("image",)
        short = folder.name
        name = f"onnx:{folder}" + (f"#{variant}" if variant else "")
    elif where.count("/") == 1 and not where.startswith((".", "/", "~")) and not where.endswith("/"):
        weights, dim, short = Weights(repo=where, files=files, needs=needs), 0, where.partition("/")[2]
    else:
        raise EncoderError(f"no such folder: {where or '(none)'}", hint="onnx:FOLDER or onnx:OWNER/NAME")
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return EncoderRow(
        name=name,
        spaces=(Space(f"{short}-{mark}", dim, answers),),
        languages=("unknown",) if "text" in answers else (),
        licence="see its source",
        source=where,
        size_mb=0,
        install="",
        summary="a text-image model as ONNX" if "text" in answers else "a picture model as ONNX",
        factory="footage.encoders.onnx:build",
        weights=weights,
        variant=variant,
    )


def build(row: EncoderRow, options: Options) -> OnnxEncoder:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return OnnxEncoder(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load both towers once and run them.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    encoder = OnnxEncoder(row, weights, Options(threads=1))
    if "text" in encoder.row.answers:
        encoder.encode_texts(["a trial"])
    encoder.encode_images(np.zeros((1, 32, 32, 3), np.uint8))


class OnnxEncoder:
    """A text-image model as ONNX; see `Encoder` for the protocol. Pictures may come in any size."""

    def __init__(self, row: EncoderRow, weights: Held, options: Options) -> None:
        self.layout = read_layout(weights.folder, row.variant)
        self._weights = weights
        self._options = options
        self._named = row
        self._image_lock, self._text_lock = threading.Lock(), threading.Lock()

    @cached_property
    def row(self) -> EncoderRow:
        """The description of this encoder; where only the graph knows the dimension, the text tower is loaded."""
        space = self._named.spaces[0]
        if self.layout.tokens is None:  # a repository whose name did not tell
            space = replace(space, answers=("image",))
        dim = space.dim or self.layout.dim or self._texts(["x"]).shape[1]
        return replace(self._named, spaces=(replace(space, dim=dim),))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files and of the version of this code."""
        parts = [f"{name} {digest}" for name, digest in sorted(self._weights.digests.items())]
        parts.append(f"{_VERSION} {self._named.variant}")
        return f"onnx-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """The size to which pictures are scaled by the model's own rules; a crop may follow."""
        return self.layout.preprocess.input_size(width, height)

    def encode_images(self, images: UInt8 | Sequence[UInt8]) -> dict[str, Float32]:
        """Encode RGB pictures uint8 (n, h, w, 3) of any size, or a list of (h, w, 3).

        Raises:
            EncoderError: they are of another kind, or the tower is broken or of another model.
        """
        rows = [self._images(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        return self._filled(rows)

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """Encode words; what is longer than the model reads is cut off.

        Raises:
            EncoderError: the tower or the tokeniser is broken, or of another model.
        """
        return self._filled([self._texts(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)])

    def _filled(self, rows: list[Float32]) -> dict[str, Float32]:
        space = self.row.spaces[0]
        vectors = np.concatenate(rows) if rows else np.empty((0, space.dim), np.float32)
        if vectors.shape[1] != space.dim:
            raise EncoderError(
                f"{self._named.name} gives vectors of {vectors.shape[1]} numbers, not {space.dim}",
                hint="these are the weights of another model",
            )
        return {space.name: vectors}

    def _images(self, images: UInt8 | Sequence[UInt8]) -> Float32:
        with self._image_lock:  # loaded once, however many ask
            steps, tower = self.layout.preprocess, self._image_tower
        ready = steps.pictures(images)
        return tower.run({tower.inputs[0].name: ready if tower.takes_bytes else steps.normalise(ready)})

    def _texts(self, texts: Sequence[str]) -> Float32:
        with self._text_lock:
            tokeniser, tower = self._tokeniser, self._text_tower
        rows = tokeniser(texts)
        return tower.run({feed.name: _text_input(feed.name, rows, first=not n) for n, feed in enumerate(tower.inputs)})

    @cached_property
    def _tokeniser(self) -> tokens.Tokeniser:
        if self.layout.tokens is None:
            raise EncoderError(f"{self._named.name} answers no words", hint="ask it with a picture or a clip")
        return tokens.Tokeniser.read(self.layout.tokenizer, self.layout.tokens)

    @cached_property
    def _image_tower(self) -> Tower:
        return Tower(self.layout.visual, self._options)

    @cached_property
    def _text_tower(self) -> Tower:
        return Tower(self.layout.textual, self._options)


def _text_input(name: str, rows: Tokens, *, first: bool) -> NDArray[np.int64]:
    if name == "attention_mask":
        return rows.mask
    if name == "token_type_ids":
        return np.zeros_like(rows.ids)
    if name == "position_ids":
        return np.broadcast_to(np.arange(rows.ids.shape[1], dtype=np.int64), rows.ids.shape)
    if first or name == "input_ids":
        return rows.ids
    raise EncoderError(f"the text tower asks for {name}, which is not known", hint="is it a text-image model?")
