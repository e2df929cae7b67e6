"""OpenAI's CLIP, in the two forms in which it is about: a TorchScript archive (as published) and a state dict.

The shape of the towers is read from the weights, as OpenAI's code does it. `clip:FILE.pt` takes a file of your own.
"""

from __future__ import annotations

import glob
from functools import cached_property
from pathlib import Path
from typing import Any

from footage.encoders import preprocess
from footage.encoders.open_clip import clip_tokeniser, fill, image_state, member, text_state, text_tower, vision_tower
from footage.encoders.preprocess import CLIP_MEAN, CLIP_STD, Preprocess
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.torch_encoder import TorchEncoder, Words, try_out
from footage.encoders.torch_files import loading, read_state
from footage.encoders.weights import Held, require
from footage.errors import EncoderError

_PATCH, _GRID, _DIM, _LENGTH = (
    "visual.conv1.weight", "visual.positional_embedding", "text_projection", "positional_embedding",
)  # fmt: skip
_HEAD = 64  # numbers in one head of attention, in all of OpenAI's


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `clip:FILE`.

    Raises:
        EncoderError: there is no such file.
    """
    path = Path(rest).expanduser()
    if not rest or not path.is_file():
        raise EncoderError(f"no such file: {rest or '(none)'}", hint="clip:FILE.pt, or one of: footage models")
    path = path.absolute()
    weights = Weights(folder=str(path.parent), files=(glob.escape(path.name),), needs=((path.name,),))
    return member(f"clip:{path}", path.stem, str(path), weights, "clip", "weights of OpenAI's CLIP")


def build(row: EncoderRow, options: Options) -> OpenaiClip:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return OpenaiClip(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load both towers once and run them.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(OpenaiClip(row, weights, Options(device="cpu")))


class OpenaiClip(TorchEncoder):
    """OpenAI's CLIP with a vision transformer."""

    @property
    def _file(self) -> Path:
        return self.weights.folder / next(iter(self.weights.digests))

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """The few weights whose shapes tell those of the rest."""
        found = read_state(self._file, {_PATCH, _GRID, _DIM, _LENGTH}.__contains__)
        if len(found) < 4:
            raise EncoderError(f"cannot load {self._file}: no CLIP with a vision transformer", hint="pull it again")
        return {name: tuple(tensor.shape) for name, tensor in found.items()}

    @cached_property
    def steps(self) -> Preprocess:
        """OpenAI's: the shorter side is scaled, the middle cut out."""
        grid = round((self._facts[_GRID][0] - 1) ** 0.5)
        return preprocess.from_open_clip(
            {"size": self._facts[_PATCH][-1] * grid, "interpolation": "bicubic", "mean": CLIP_MEAN, "std": CLIP_STD}
        )

    def told_dim(self) -> int:
        """The dimension of the space of both towers."""
        return int(self._facts[_DIM][1])

    def make_image_tower(self) -> Any:
        """Build it as large as its weights are."""
        state, facts = image_state(self._file), self._facts
        with loading(self._file):
            shape = {
                "layers": _layers(state),
                "width": facts[_PATCH][0],
                "head_width": _HEAD,
                "patch_size": facts[_PATCH][-1],
                "image_size": self.steps.size[0],
            }
            tower = vision_tower(self.told_dim(), shape, quick_gelu=True)
            fill(tower, state)
        return tower

    def make_text_tower(self) -> Any:
        """Build it as large as its weights are."""
        state, facts = text_state(self._file), self._facts
        with loading(self._file):
            width = facts[_LENGTH][1]
            shape = {
                "context_length": facts[_LENGTH][0],
                "vocab_size": state["token_embedding.weight"].shape[0],
                "width": width,
                "heads": max(1, width // _HEAD),
                "layers": _layers(state),
            }
            tower = text_tower(self.told_dim(), shape, quick_gelu=True)
            fill(tower, state)
        return tower

    def make_tokeniser(self) -> Words:
        """CLIP's own."""
        return Words(clip_tokeniser(int(self._facts[_LENGTH][0])))


def _layers(state: dict[str, Any]) -> int:
    return len({name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")})
