"""What the encoders on torch have in common: towers that load when they are first used, batches, one fingerprint."""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from footage.encoders.row import EncoderRow, Options
from footage.encoders.torch_device import Machine
from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from footage.encoders.preprocess import Preprocess
    from footage.encoders.tokens import Tokeniser
    from footage.encoders.weights import Held
    from footage.types import Float32, UInt8


class Words:
    """What a text tower is given: rows of tokens, and beside them, where it looks at one, a mask.

    With a mask the rows are only as long as the longest of them.
    """

    def __init__(self, tokeniser: Tokeniser, *, masked: bool = False) -> None:
        self.tokeniser = tokeniser
        self.masked = masked

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[Any], ...]:
        """Read texts."""
        rows = self.tokeniser(texts)
        if not self.masked:
            return (rows.ids,)
        longest = rows.ids.shape[1] if self.tokeniser.rules.pad_left else max(1, int(rows.mask.sum(1).max()))
        return rows.ids[:, :longest], rows.mask[:, :longest]


class TorchEncoder(ABC):
    """An encoder on torch; see `Encoder` for the protocol. Pictures may come in any size. A family says the rest."""

    version: ClassVar[int] = 1  # of the family's code: raised when the same files could give other vectors

    def __init__(self, row: EncoderRow, weights: Held, options: Options) -> None:
        self.named = row
        self.weights = weights
        self.options = options
        self._loading = {"image": threading.Lock(), "text": threading.Lock(), "machine": threading.Lock()}

    # What a family says.

    @cached_property
    @abstractmethod
    def steps(self) -> Preprocess:
        """How pictures are prepared; no tower is loaded for it."""

    @abstractmethod
    def make_image_tower(self) -> Any:
        """The network that turns pictures float32 (n, 3, h, w) into vectors."""

    def make_text_tower(self) -> Any:
        """The network that turns rows of tokens into vectors."""
        raise EncoderError(f"{self.named.name} answers no words", hint="ask it with a picture or a clip")

    def make_tokeniser(self) -> Words:
        """What turns words into the inputs of the text tower."""
        raise EncoderError(f"{self.named.name} answers no words", hint="ask it with a picture or a clip")

    def told_dim(self) -> int:
        """The dimension as the files tell it; 0: they do not."""
        return 0

    # What is the same for all.

    @cached_property
    def row(self) -> EncoderRow:
        """The description of this encoder; where no file tells the dimension, the image tower is loaded."""
        space = self.named.spaces[0]
        dim = space.dim or self.told_dim() or self._trial_dim()
        return replace(self.named, spaces=(replace(space, dim=dim),))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files and of the version of the code."""
        parts = [f"{name} {digest}" for name, digest in sorted(self.weights.digests.items())]
        family = type(self).__name__.lower()
        parts.append(f"{family} {self.version} {self.named.variant}")
        return f"{family}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """The size to which pictures are scaled by the model's own rules; a crop may follow."""
        return self.steps.input_size(width, height)

    def encode_images(self, images: UInt8 | Sequence[UInt8]) -> dict[str, Float32]:
        """Encode RGB pictures uint8 (n, h, w, 3) of any size, or a list of (h, w, 3).

        Raises:
            EncoderUnavailable: a library is not installed.
            EncoderError: they are of another kind, or the tower is broken or of another model.
        """
        if not len(images):
            return self._filled(None)
        steps, tower = self.steps, self._image_tower()
        return self._filled(self.machine.run(tower, lambda start, stop: (steps(images[start:stop]),), len(images)))

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """Encode words; what is longer than the model reads is cut off.

        Raises:
            EncoderUnavailable: a library is not installed.
            EncoderError: it answers no words, or the tower or the tokeniser is broken or of another model.
        """
        tower, tokeniser = self._text_tower()
        if not texts:
            return self._filled(None)
        return self._filled(self.machine.run(tower, lambda start, stop: tokeniser(texts[start:stop]), len(texts)))

    @property
    def machine(self) -> Machine:
        """Where the networks run."""
        with self._loading["machine"]:
            return self._machine

    @cached_property
    def _machine(self) -> Machine:
        return Machine(self.options)

    @cached_property
    def _image(self) -> Any:
        return self.machine.place(self.make_image_tower())

    @cached_property
    def _text(self) -> tuple[Any, Words]:
        tokeniser = self.make_tokeniser()
        return self.machine.place(self.make_text_tower()), tokeniser

    def _image_tower(self) -> Any:
        with self._loading["image"]:  # loaded once, however many ask
            return self._image

    def _text_tower(self) -> tuple[Any, Words]:
        with self._loading["text"]:
            return self._text

    def _trial_dim(self) -> int:
        black = np.zeros((1, 32, 32, 3), np.uint8)
        return self.machine.run(self._image_tower(), lambda start, stop: (self.steps(black[start:stop]),), 1).shape[1]

    def _filled(self, found: Float32 | None) -> dict[str, Float32]:
        space = self.row.spaces[0]
        vectors = np.empty((0, space.dim), np.float32) if found is None else found
        if vectors.shape[1] != space.dim:
            raise EncoderError(
                f"{self.named.name} gives vectors of {vectors.shape[1]} numbers, not {space.dim}",
                hint="these are the weights of another model",
            )
        return {space.name: vectors}


def try_out(encoder: TorchEncoder) -> None:
    """Load each tower once and run it.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    if "text" in encoder.named.answers:
        encoder.encode_texts(["a trial"])
    encoder.encode_images(np.zeros((1, 32, 32, 3), np.uint8))
