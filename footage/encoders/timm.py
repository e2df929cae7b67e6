"""Any picture model of timm: `timm:NAME`, `timm:FOLDER` (timm's local-dir), and `vit`, `dinov2`, ... by name.

The vector is what the model gives without its classes, pooled as its makers pool it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from footage.encoders import preprocess
from footage.encoders.open_clip import member, read_json
from footage.encoders.row import EncoderRow, Options
from footage.encoders.rows_torch import SAFETENSORS
from footage.encoders.torch_device import library
from footage.encoders.torch_encoder import TorchEncoder, try_out
from footage.encoders.torch_files import loading
from footage.encoders.transformers import place
from footage.encoders.weights import Held, require

if TYPE_CHECKING:
    from footage.encoders.preprocess import Preprocess


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `timm:NAME`, of `timm:OWNER/NAME` or of `timm:FOLDER`.

    Raises:
        UnknownEncoder: neither a folder nor a name.
    """
    plain = rest and "/" not in rest and "\\" not in rest and not rest.startswith(".")
    where, weights = place(f"timm/{rest}" if plain else rest, "timm", SAFETENSORS, (SAFETENSORS,))
    short = where.rstrip("/").rpartition("/")[2]
    return member(
        f"timm:{rest if plain else where}", short, where, weights, "timm", "a picture model of timm", answers=("image",)
    )


def build(row: EncoderRow, options: Options) -> Timm:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return Timm(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load the model once and run it.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(Timm(row, weights, Options(device="cpu")))


class Timm(TorchEncoder):
    """A picture model of timm."""

    @cached_property
    def steps(self) -> Preprocess:
        """As timm evaluates the model."""
        return preprocess.from_timm(read_json(self.weights.folder / "config.json"))

    def told_dim(self) -> int:
        """Not known before it is loaded: what the configuration tells is the width before a head of its own."""
        return 0

    def make_image_tower(self) -> Any:
        """The model without its classes; timm reads safetensors, and other files with `weights_only`."""
        timm = library("timm")
        with loading(self.weights.folder / "model.safetensors"):
            return timm.create_model(f"local-dir:{self.weights.folder}", pretrained=True, num_classes=0)
