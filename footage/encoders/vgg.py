"""VGG-16 as a describer of pictures: its convolutions, and the largest number of each map (Babenko et al. 2014).

`vgg16` gives these 512 numbers. `vgg:FOLDER` takes the file of the weights from a folder, and if there lies a
`projection.safetensors` (`weight` (dim, 25088), and `bias` if you like) the maps are flattened and projected by it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.encoders.img2vec import steps_of
from footage.encoders.open_clip import member
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.torch_device import library, then
from footage.encoders.torch_encoder import TorchEncoder, try_out
from footage.encoders.torch_files import loading, read_state
from footage.encoders.weights import Held, require
from footage.errors import UnknownEncoder

if TYPE_CHECKING:
    from footage.encoders.preprocess import Preprocess

_WEIGHTS, _PROJECTION = "vgg16-397923af.pth", "projection.safetensors"


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `vgg:FOLDER`.

    Raises:
        UnknownEncoder: there is no such folder.
    """
    folder = Path(rest).expanduser()
    if not rest or not folder.is_dir():
        raise UnknownEncoder(f"no such folder: {rest or '(none)'}", hint=f"vgg:FOLDER, which holds {_WEIGHTS}")
    folder = folder.absolute()
    weights = Weights(folder=str(folder), files=(_WEIGHTS, _PROJECTION), needs=((_WEIGHTS,),))
    return member(
        f"vgg:{folder}", folder.name, str(folder), weights, "vgg", "VGG-16's convolutions", answers=("image",)
    )


def build(row: EncoderRow, options: Options) -> Vgg:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return Vgg(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load the convolutions once and run them.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(Vgg(row, weights, Options(device="cpu")))


class Vgg(TorchEncoder):
    """The convolutions of VGG-16."""

    @cached_property
    def steps(self) -> Preprocess:
        """As torchvision evaluates them."""
        return steps_of("vgg16", _WEIGHTS)

    def make_image_tower(self) -> Any:
        """The convolutions, and what makes a vector of their maps; the layers of the classes are never built."""
        path = self.weights.folder / _WEIGHTS
        vgg = library("torchvision.models.vgg")
        with loading(path):
            maps = vgg.make_layers(vgg.cfgs["D"])
            state = read_state(path, lambda name: name.startswith("features."))
            maps.load_state_dict({name.removeprefix("features."): tensor for name, tensor in state.items()})
        if _PROJECTION in self.weights.digests:
            return self._projected(maps)
        return then(maps, lambda found: found.amax(dim=(2, 3)))

    def _projected(self, maps: Any) -> Any:
        nn, path = library("torch").nn, self.weights.folder / _PROJECTION
        with loading(path):
            state = read_state(path)
            dim, width = state["weight"].shape
            line = nn.Linear(width, dim, bias="bias" in state)
            line.load_state_dict(state)
            if width != 512 * 7 * 7:
                raise ValueError(f"it projects {width} numbers, not {512 * 7 * 7}")
        return nn.Sequential(maps, nn.AdaptiveAvgPool2d(7), nn.Flatten(1), line.float())
