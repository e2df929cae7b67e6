"""Trained copy descriptors: `sscd` (Pizzi et al. 2022) and `isc` (Yokoo 2021), from their makers' files.

They hold where the layout fails: under crops, turns and things laid over. SSCD is a ResNet-50 or ResNeXt-101 with
generalised-mean pooling and a linear layer; its file may be that of torchvision, of Classy Vision (other names of the
same weights) or the TorchScript archive, whose weights are read and whose program never runs. ISC is an EfficientNetV2
of timm, averaged, projected and normalised. `sscd:FILE` and `isc:FILE` take a file where it stands.
"""

from __future__ import annotations

import glob
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.encoders.open_clip import member
from footage.encoders.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.torch_device import library, then, torch_
from footage.encoders.torch_encoder import TorchEncoder, try_out
from footage.encoders.torch_files import loading, read_facts, read_state
from footage.encoders.weights import Held, require
from footage.errors import UnknownEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping

_SSCD_SIDE = 320  # pixels of its maker's square input; pictures are squashed to it
_POWER, _FLOOR = 3.0, 1e-6  # of SSCD's pooling
_ISC_ARCH, _ISC_SIDE = "tf_efficientnetv2_m.in21k_ft_in1k", 512  # of the published one, where a file does not say
_OLD_NAMES = {"in21ft1k": "in21k_ft_in1k"}  # timm named the published one otherwise in 2021
_CLASSY_BLOCK = re.compile(r"blocks\.(\d+)\.(?:block\d+-)?(\d+)\.(.+)")
_CLASSY_PARTS = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3"}


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `sscd:FILE` or of `isc:FILE`.

    Raises:
        UnknownEncoder: there is no such file.
    """
    kind = name.partition(":")[0].lower()
    path = Path(rest).expanduser()
    if not rest or not path.is_file():
        raise UnknownEncoder(f"no such file: {rest or '(none)'}", hint=f"{kind}:FILE, the weights of its maker")
    path = path.absolute()
    weights = Weights(folder=str(path.parent), files=(glob.escape(path.name),), needs=((path.name,),))
    return member(
        f"{kind}:{path}", path.stem, str(path), weights, "descriptors", f"weights of {kind.upper()}",
        answers=("copy",), variant=kind,
    )  # fmt: skip


def build(row: EncoderRow, options: Options) -> TorchEncoder:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return _kind(row)(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load the network once and run it.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(_kind(row)(row, weights, Options(device="cpu")))


def _kind(row: EncoderRow) -> type[Sscd | Isc]:
    return Isc if "isc" in (row.name, row.variant) else Sscd


class Sscd(TorchEncoder):
    """SSCD; as large as its weights are."""

    @property
    def _file(self) -> Path:
        return self.weights.folder / next(iter(self.weights.digests))

    @cached_property
    def steps(self) -> Preprocess:
        """Both sides are scaled to the input: as its makers advise where pictures are batched."""
        return Preprocess(
            size=(_SSCD_SIDE, _SSCD_SIDE), resize="squash", target=(_SSCD_SIDE, _SSCD_SIDE), interpolation="bilinear",
            mean=IMAGENET_MEAN, std=IMAGENET_STD,
        )  # fmt: skip

    def make_image_tower(self) -> Any:
        """A residual network of torchvision with SSCD's pooling before its last layer."""
        resnet = library("torchvision.models.resnet")
        with loading(self._file):
            state = torchvision_names(read_state(self._file))
            width, each = state["layer1.0.conv2.weight"].shape[:2]
            network = resnet.ResNet(
                resnet.Bottleneck, [_blocks(state, f"layer{n}") for n in range(1, 5)],
                num_classes=len(state["fc.bias"]), groups=width // each,
                width_per_group=each if width > each else width,
            )  # fmt: skip
            network.load_state_dict(_of(network, state))
            network.avgpool = then(torch_().nn.Identity(), _pooled)
        return network


class Isc(TorchEncoder):
    """The descriptor that won the Image Similarity Challenge of 2021."""

    @property
    def _file(self) -> Path:
        return self.weights.folder / next(iter(self.weights.digests))

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        """What the file says of itself: the architecture, and the arguments of its training."""
        return read_facts(self._file)

    @property
    def _arch(self) -> str:
        """The architecture as timm names it today."""
        told = str(self._facts.get("arch", _ISC_ARCH))
        for old, new in _OLD_NAMES.items():
            if told.endswith(f"_{old}"):
                return f"{told.removesuffix(f'_{old}')}.{new}"
        return told

    @cached_property
    def steps(self) -> Preprocess:
        """Both sides are scaled to the input of its training."""
        side = int(getattr(self._facts.get("args"), "input_size", _ISC_SIDE))
        with loading(self._file):
            told = library("timm").get_pretrained_cfg(self._arch)
            mean, std = (told.mean, told.std) if told is not None else (IMAGENET_MEAN, IMAGENET_STD)
        return Preprocess(
            size=(side, side), resize="squash", target=(side, side), interpolation="bilinear", mean=mean, std=std
        )

    def make_image_tower(self) -> Any:
        """The maps of the last stage, averaged, projected and normalised by what was learned."""
        nn = torch_().nn
        with loading(self._file):
            state = read_state(self._file)
            maps = library("timm").create_model(self._arch, features_only=True, pretrained=False)
            maps.load_state_dict(_below(state, "backbone."))
            dim, width = state["fc.weight"].shape
            line, norm = nn.Linear(width, dim, bias=False), nn.BatchNorm1d(dim)
            line.load_state_dict(_below(state, "fc."))
            norm.load_state_dict(_below(state, "bn."))
        # Its makers average with a power of 1 when they ask, though they train with others.
        return nn.Sequential(then(maps, lambda found: found[-1].clamp(min=_FLOOR).mean(dim=(2, 3))), line, norm)


def torchvision_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of an SSCD file by the names that torchvision gives them."""
    out: dict[str, Any] = {}
    for name, tensor in state.items():
        plain = name.removeprefix("backbone.").replace("_module.", "")
        block = _CLASSY_BLOCK.fullmatch(plain)
        if block is not None:
            stage, number, rest = block.groups()
            out[f"layer{int(stage) + 1}.{number}.{_classy(rest)}"] = tensor
        elif plain.startswith("initial_block."):
            part, _, rest = plain.removeprefix("initial_block.").partition(".")
            out[f"{'conv1' if part == '0' else 'bn1'}.{rest}"] = tensor
        elif plain.startswith("embeddings.1."):
            out[f"fc.{plain.removeprefix('embeddings.1.')}"] = tensor
        else:
            out[plain] = tensor
    return out


def _classy(rest: str) -> str:
    """A part of a block of Classy Vision."""
    first, _, last = rest.partition(".")
    if first == "convolutional_block":
        number, _, last = last.partition(".")
        return f"{_CLASSY_PARTS[number]}.{last}"
    return f"bn3.{last}" if first == "bn" else rest


def _of(network: Any, state: Mapping[str, Any]) -> dict[str, Any]:
    """What a network has of a state; an archive has more, and counts no batches."""
    counted = {name: count for name, count in network.state_dict().items() if name.endswith("num_batches_tracked")}
    return {name: state[name] for name in network.state_dict() if name in state} | {
        name: count for name, count in counted.items() if name not in state
    }


def _blocks(state: Mapping[str, Any], layer: str) -> int:
    return len({name.split(".")[1] for name in state if name.startswith(f"{layer}.")})


def _below(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _pooled(maps: Any) -> Any:
    return maps.clamp(min=_FLOOR).pow(_POWER).mean(dim=(2, 3)).pow(1 / _POWER)[:, :, None, None]
