"""The classics of OpenCV, without any weights: colours, edges and perceptual hashes; keypoints; motion (`flow.py`).

They compare how pictures look and know nothing of what they show. All work on CPU, one picture at a time, so a batch
gives what single pictures give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.encoders.opencv import features
from footage.encoders.opencv.door import opencv
from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from footage.encoders import EncoderRow, Options
    from footage.types import Float32, UInt8


@dataclass(frozen=True, slots=True)
class Method:
    """One way to describe a picture."""

    version: int  # changes with the code and its constants
    size: tuple[int, int]  # (width, height) that it asks for; any other is averaged to what it needs
    describe: Callable[[UInt8], Float32]  # RGB uint8 (h, w, 3) -> float32 (dim,), unit length or zeros


METHODS = {
    "opencv-colour": Method(1, (96, 96), features.colours),
    "opencv-hog": Method(1, (112, 112), features.edges),
    "opencv-dhash": Method(1, (72, 72), features.dhash),
    "opencv-pdq": Method(1, (256, 256), features.pdq),
}


class Classic:
    """One of the classics; see `Encoder` for the protocol."""

    def __init__(self, row: EncoderRow) -> None:
        opencv()  # tell at once when it is not installed, and not at the first picture
        self._row = row
        self._method = METHODS[row.name]

    @property
    def row(self) -> EncoderRow:
        """The description of this encoder."""
        return self._row

    @property
    def fingerprint(self) -> str:
        """Changes with the code of the method."""
        return f"{self._row.name}-{self._method.version}"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """What the method works on, whatever the aspect: the picture is squeezed."""
        if width <= 0 or height <= 0:
            raise EncoderError(f"a picture of {width} x {height} pixels has no size")
        return self._method.size

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """Encode RGB pictures, uint8 (n, h, w, 3) of any size; one without any feature is a vector of zeros."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
            raise EncoderError(f"pictures must be uint8 (n, h, w, 3), not {images.dtype} {images.shape}")
        space = self._row.spaces[0]
        out = np.zeros((len(images), space.dim), np.float32)
        for number, image in enumerate(images):
            out[number] = self._method.describe(np.ascontiguousarray(image))
        return {space.name: out}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """It answers no words: an empty dict."""
        return {}


def build(row: EncoderRow, _options: Options) -> Classic:
    """Make the encoder, as the registry asks for it.

    Raises:
        EncoderUnavailable: OpenCV is not installed.
    """
    return Classic(row)
