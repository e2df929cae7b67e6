"""Time-contrastive networks (Sermanet et al. 2018): what a frame shows of an action, whoever does it: `tcn:FILE`.

Nobody publishes weights: such a network is taught on videos of one's own. A file is the state dict, by `torch.save` or
as safetensors, in the layout of the first PyTorch implementation (kekeblom/tcn) and of those that follow it: Inception
v3 up to `Mixed_5d`, two convolutions, a softmax, and one linear layer to 32 numbers or as many as it was given. The
softmax there is over the maps of each place, where the paper has one over the places of each map.
"""

from __future__ import annotations

import glob
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.encoders.open_clip import member
from footage.encoders.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.torch_device import library
from footage.encoders.torch_encoder import TorchEncoder, try_out
from footage.encoders.torch_files import loading, read_state
from footage.encoders.weights import Held, require
from footage.errors import EncoderError

if TYPE_CHECKING:
    from footage.encoders.preprocess import Triple

_SIDE, _PLACES = 299, 31 * 31  # pixels of the input, and what two convolutions leave of them
_HEAD = ("Conv2d_6a_3x3.conv2d.weight", "Conv2d_6b_3x3.conv2d.weight", "FullyConnected7a.linear.weight")


def _affine() -> tuple[Triple, Triple]:
    """Mean and deviation of the input: bytes as 0..1 go through what torchvision puts before its own Inception.

    That step expects pictures normalised for ImageNet, which the implementation does not do; networks were taught so.
    """
    mean = tuple((0.5 - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))
    std = tuple(0.5 / s for s in IMAGENET_STD)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `tcn:FILE`.

    Raises:
        EncoderError: there is no such file.
    """
    path = Path(rest).expanduser()
    if not rest or not path.is_file():
        raise EncoderError(f"no such file: {rest or '(none)'}", hint="tcn:FILE, a state dict of your own network")
    path = path.absolute()
    weights = Weights(folder=str(path.parent), files=(glob.escape(path.name),), needs=((path.name,),))
    return member(f"tcn:{path}", path.stem, str(path), weights, "tcn", "a time-contrastive network", answers=("image",))


def build(row: EncoderRow, options: Options) -> Tcn:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return Tcn(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load the network once and run it.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(Tcn(row, weights, Options(device="cpu")))


class Tcn(TorchEncoder):
    """A time-contrastive network; each picture is encoded alone."""

    @property
    def _file(self) -> Path:
        return self.weights.folder / next(iter(self.weights.digests))

    @cached_property
    def _head(self) -> list[tuple[int, ...]]:
        """The shapes of the layers behind the trunk."""
        found = read_state(self._file, _HEAD.__contains__)
        shapes = [tuple(found[name].shape) for name in _HEAD if name in found]
        if [len(shape) for shape in shapes] != [4, 4, 2] or shapes[2][1] != shapes[1][0] * _PLACES:
            raise EncoderError(
                f"cannot load {self._file}: no time-contrastive network",
                hint=f"it must end in {', '.join(_HEAD)}, the last for pictures of {_SIDE} x {_SIDE}",
            )
        return shapes

    @cached_property
    def steps(self) -> Preprocess:
        """Both sides are brought to 299 pixels."""
        mean, std = _affine()
        return Preprocess(size=(_SIDE, _SIDE), resize="squash", interpolation="bicubic", mean=mean, std=std)

    def told_dim(self) -> int:
        """How many numbers the last layer gives."""
        return self._head[2][0]

    def make_image_tower(self) -> Any:
        """Inception v3 as far as it is used, and the head; all weights must fit."""
        nn, (first, second, last) = library("torch").nn, self._head
        with loading(self._file):
            network = nn.Sequential(
                OrderedDict(
                    [
                        *_trunk(),
                        ("Conv2d_6a_3x3", _convolution(first)),
                        ("Conv2d_6b_3x3", _convolution(second)),
                        ("softmax", nn.Softmax2d()),
                        ("flat", nn.Flatten(1)),
                        ("FullyConnected7a", nn.Sequential(OrderedDict(linear=nn.Linear(last[1], last[0])))),
                    ]
                )
            )
            network.load_state_dict(read_state(self._file))
        return network.float()


def _trunk() -> list[tuple[str, Any]]:
    """The layers of Inception v3 up to `Mixed_5d`, under the names that torchvision gives them."""
    nn, inception = library("torch").nn, library("torchvision.models.inception")
    plain, mixed = inception.BasicConv2d, inception.InceptionA
    return [
        ("Conv2d_1a_3x3", plain(3, 32, kernel_size=3, stride=2)),
        ("Conv2d_2a_3x3", plain(32, 32, kernel_size=3)),
        ("Conv2d_2b_3x3", plain(32, 64, kernel_size=3, padding=1)),
        ("pool_2", nn.MaxPool2d(3, 2)),
        ("Conv2d_3b_1x1", plain(64, 80, kernel_size=1)),
        ("Conv2d_4a_3x3", plain(80, 192, kernel_size=3)),
        ("pool_4", nn.MaxPool2d(3, 2)),
        ("Mixed_5b", mixed(192, pool_features=32)),
        ("Mixed_5c", mixed(256, pool_features=64)),
        ("Mixed_5d", mixed(288, pool_features=64)),
    ]


def _convolution(shape: tuple[int, ...]) -> Any:
    """A convolution with batch normalisation, as the shape of its weight tells: out, in, height, width."""
    nn = library("torch").nn
    return nn.Sequential(
        OrderedDict(
            conv2d=nn.Conv2d(shape[1], shape[0], shape[2:]),
            batch_norm=nn.BatchNorm2d(shape[0], eps=1e-3),
            relu=nn.ReLU(),
        )
    )
