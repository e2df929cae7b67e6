"""Pictures to vectors by the classics of torchvision, at a layer of choice: `img2vec:NAME`, `img2vec:NAME#LAYER`.

Without a layer it is what the classes are told from: 512 numbers of a resnet18, 4096 of an alexnet. A layer is named
as torchvision names it (`layer3`, `features.12`); maps are averaged over the picture.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from footage.encoders.open_clip import member
from footage.encoders.preprocess import Preprocess
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.rows_torch import IMG2VEC
from footage.encoders.torch_device import library, then
from footage.encoders.torch_encoder import TorchEncoder, try_out
from footage.encoders.torch_files import loading, read_state
from footage.encoders.weights import Held, held, require
from footage.errors import EncoderError, UnknownEncoder
from footage.media import read_picture

if TYPE_CHECKING:
    from footage.types import Float32

_OLD_DENSE = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)")


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `img2vec:NAME`, with `#LAYER` after it for another layer than the last.

    Raises:
        EncoderUnavailable: torchvision, which knows the other names, is not installed.
        UnknownEncoder: torchvision has no such model of pictures.
    """
    which, _, layer = rest.partition("#")
    which = which.lower()
    base = _bases().get(which) or _named(which)
    if not layer:
        return base
    mark = member(f"{base.name}#{layer}", f"{base.name}-{layer}", base.source, cast("Weights", base.weights), "img2vec",
                  f"{which}, its layer {layer}", variant=layer, answers=("image",))  # fmt: skip
    return replace(base, name=mark.name, spaces=mark.spaces, summary=mark.summary, variant=layer)


def _bases() -> dict[str, EncoderRow]:
    return {row.name.partition(":")[2]: row for row in IMG2VEC}


def _named(which: str) -> EncoderRow:
    """A model of torchvision that has no row of its own."""
    best: Any = None
    with suppress(ValueError, AttributeError):  # it knows no such name, or its transforms are of another kind
        found = library("torchvision").models.get_model_weights(which).DEFAULT
        best = found if found.transforms.func.__name__ == "ImageClassification" else None
    if best is None:
        raise UnknownEncoder(f"torchvision has no {which or '(nothing)'}", hint=f"such as {', '.join(_bases())}")
    file = best.url.rpartition("/")[2]
    begins = file.rpartition("-")[2].removesuffix(".pth")
    weights = Weights(urls={file: best.url}, sha256={file: begins})
    return member(f"img2vec:{which}", f"img2vec-{which}", best.url, weights, "img2vec", f"{which} of torchvision",
                  answers=("image",))  # fmt: skip


def build(row: EncoderRow, options: Options) -> Img2Vec:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    found = held(row, options.cache_dir) if row.variant else None  # all layers of a model share its file
    plain = _bases().get(_model(row), replace(row, name=f"img2vec:{_model(row)}"))
    return Img2Vec(row, found or require(plain, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load the model once and run it.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(Img2Vec(row, weights, Options(device="cpu")))


def _model(row: EncoderRow) -> str:
    return row.name.partition(":")[2].partition("#")[0]


class Img2Vec(TorchEncoder):
    """A model of torchvision up to one of its layers."""

    @property
    def _file(self) -> Path:
        return self.weights.folder / next(iter(self.weights.digests))

    @cached_property
    def steps(self) -> Preprocess:
        """As torchvision evaluates these weights."""
        return steps_of(_model(self.named), self._file.name)

    def make_image_tower(self) -> Any:
        """The model up to the layer; all weights must fit."""
        models, layer = library("torchvision").models, self.named.variant
        with loading(self._file):
            network = models.get_model(_model(self.named), weights=None)
            network.load_state_dict(torchvision_state(self._file))
        if not layer:
            return _headless(network)
        nodes = library("torchvision.models.feature_extraction")
        try:
            part = nodes.create_feature_extractor(network.eval(), {layer: "vector"})
        except ValueError:
            known = ", ".join(name for name, _ in network.named_children())
            raise EncoderError(f"{self.named.name} has no layer {layer}", hint=f"such as {known}") from None
        return then(part, lambda found: _flat(found["vector"]))

    def vector(self, images: Any) -> Float32:
        """The vector of a picture (path, Pillow image, array), float32 (dim,); of a list of them (n, dim).

        A picture gives the same numbers alone and in a list, to the rounding of a 32-bit float.

        Raises:
            MediaError: a picture cannot be read.
        """
        several = isinstance(images, (list, tuple))
        many = cast("list[Any]", images if several else [images])
        [vectors] = self.encode_images([read_picture(image) for image in many]).values()
        return vectors if several else vectors[0]


def steps_of(model: str, file: str) -> Preprocess:
    """How torchvision prepares pictures for these weights; for weights it does not know, as for its own best ones."""
    known: Any = library("torchvision").models.get_model_weights(model)
    weights = next((one for one in known if one.url.endswith(file)), known.DEFAULT)
    given = weights.transforms.keywords
    mode = given.get("interpolation")
    crop, scaled = int(given["crop_size"]), int(given.get("resize_size", 256))
    return Preprocess(
        size=(crop, crop),
        target=(scaled, scaled),
        interpolation=str(getattr(mode, "value", "bilinear")),
        mean=given.get("mean", (0.485, 0.456, 0.406)),
        std=given.get("std", (0.229, 0.224, 0.225)),
    )


def torchvision_state(path: Path) -> dict[str, Any]:
    """The weights in a file of torchvision; those of its densenets have names of before 2018."""
    return {_OLD_DENSE.sub(r"\1\2", name): tensor for name, tensor in read_state(path).items()}


def _headless(network: Any) -> Any:
    """The network without its last linear layer, which tells the classes."""
    nn = library("torch").nn
    name = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    return network


def _flat(found: Any) -> Any:
    return found.mean(dim=(2, 3)) if found.ndim == 4 else found.flatten(1)
