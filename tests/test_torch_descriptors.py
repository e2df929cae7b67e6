"""SSCD and ISC: small random checkpoints in the forms in which their makers publish them, beside a plain reading."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from PIL import Image
from test_torch_files import Malicious
from torch_models import images, only, same, shake

from footage import encoders
from footage.encoders import weights
from footage.errors import EncoderError, EncoderUnavailable, UnknownEncoder

torch = reference.torch_()
resnet = reference.need("torchvision.models.resnet")
timm = reference.need("timm")
functional = torch.nn.functional
FEW = slice(0, 3)
ARCH, SIDE = "tf_efficientnetv2_b0.in1k", 96  # a small sister of ISC's


# -------------------------------------------------------------------------------------------- SSCD as its maker runs it


class Pool(torch.nn.Module):
    """The generalised mean of the paper, by the definition: (mean x^3)^(1/3)."""

    def forward(self, x: Any) -> Any:
        return torch.stack([(m.clamp(min=1e-6) ** 3).flatten(1).mean(1) ** (1 / 3) for m in x]).flatten(1)


def sscd(dim: int = 512, groups: int = 1, seed: int = 11) -> Any:
    def build() -> Any:
        width = 4 if groups > 1 else 64
        net = resnet.ResNet(resnet.Bottleneck, [1, 2, 1, 1], num_classes=dim, groups=groups, width_per_group=width)
        net.avgpool = Pool()
        return net

    return shake(build, seed)


def classy(network: Any) -> dict[str, Any]:
    """The same weights by the names of Classy Vision, as `sscd_disc_mixup.classy.pt` has them."""
    parts = {"conv1": "convolutional_block.0", "bn1": "convolutional_block.1", "conv2": "convolutional_block.3",
             "bn2": "convolutional_block.4", "conv3": "convolutional_block.6", "bn3": "bn"}  # fmt: skip
    out: dict[str, Any] = {}
    for name, tensor in network.state_dict().items():
        first, _, rest = name.partition(".")
        if first.startswith("layer"):
            number, part, last = rest.split(".", 2)
            stage = int(first[-1]) - 1
            out[f"backbone.blocks.{stage}.{number}.{parts.get(part, part)}.{last}"] = tensor
        elif first == "fc":
            out[f"embeddings.1.{rest}"] = tensor
        else:
            out[f"backbone.initial_block._module.{0 if first == 'conv1' else 1}.{rest}"] = tensor
    return out


def by_hand(network: Any, photos: list[Any], side: int, mean: Any, std: Any) -> Any:
    """As the README of SSCD prepares pictures: a square by Pillow, then numbers."""
    rows = [np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR), np.float32) / 255 for photo in photos]
    pixels = torch.from_numpy(np.stack([(row - mean) / std for row in rows])).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        return functional.normalize(network(pixels)).numpy()


def sscd_by_hand(network: Any) -> Any:
    return by_hand(network, images()[FEW], 320, np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225)))


def archive(network: Any, path: Path) -> None:
    """A TorchScript archive: the names of torchvision below `backbone`."""

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = network

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.normalize(self.backbone(x))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Whole().eval(), torch.zeros(1, 3, 64, 64)), str(path))


@pytest.mark.parametrize("form", ["torchvision", "classy", "torchscript", "safetensors"])
def test_sscd_in_each_of_its_forms(tmp_path: Path, form: str) -> None:
    from safetensors.torch import save_file

    network = sscd()
    file = tmp_path / f"sscd.{form}.{'safetensors' if form == 'safetensors' else 'pt'}"
    below = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    if form == "torchscript":
        archive(network, file)
    elif form == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in below.items()}, str(file))
    else:
        torch.save(classy(network) if form == "classy" else below, str(file))
    ours = encoders.load(f"sscd:{file}", cache_dir=tmp_path / "cache")
    photos: Any = reference.photographs()[FEW]
    same(only(ours.encode_images(photos)), sscd_by_hand(network))
    assert (ours.row.dim, ours.row.answers) == (512, ("copy",))


def test_the_large_sscd_has_groups_and_more_numbers(tmp_path: Path) -> None:
    network = sscd(dim=1024, groups=32)
    torch.save(classy(network), str(tmp_path / "sscd_disc_large.classy.pt"))
    ours = encoders.load(f"sscd:{tmp_path}/sscd_disc_large.classy.pt", cache_dir=tmp_path / "cache")
    photos: Any = reference.photographs()[FEW]
    same(only(ours.encode_images(photos)), sscd_by_hand(network))
    assert ours.row.dim == 1024


# ------------------------------------------------------------------------------------------------------------------ ISC


class IscNet(torch.nn.Module):
    """The network as its maker's README describes it: maps, mean, projection, batch norm."""

    def __init__(self, dim: int = 256) -> None:
        super().__init__()
        self.backbone = timm.create_model(ARCH, features_only=True, pretrained=False)
        self.fc = torch.nn.Linear(self.backbone.feature_info.channels()[-1], dim, bias=False)
        self.bn = torch.nn.BatchNorm1d(dim)

    def forward(self, x: Any) -> Any:
        last = self.backbone(x)[-1]
        return self.bn(self.fc(functional.avg_pool2d(last.clamp(min=1e-6), last.shape[-2:]).flatten(1)))


def isc(path: Path, **facts: Any) -> Any:
    """A file such as `isc_ft_v107.pth.tar`: weights below `module`, the architecture, the arguments of the training."""
    network = shake(IscNet, 12)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    args = argparse.Namespace(input_size=SIDE, lr=0.1, margin_pos=0.0, data="../input")
    torch.save({"epoch": 5, "arch": ARCH, "state_dict": state, "args": args, **facts}, str(path))
    return network


def test_isc(tmp_path: Path) -> None:
    network = isc(tmp_path / "isc_ft_v107.pth.tar")
    ours = encoders.load(f"isc:{tmp_path}/isc_ft_v107.pth.tar", cache_dir=tmp_path / "cache")
    told = timm.get_pretrained_cfg(ARCH)
    photos: Any = reference.photographs()[FEW]
    theirs = by_hand(network, images()[FEW], SIDE, np.array(told.mean), np.array(told.std))
    same(only(ours.encode_images(photos)), theirs)
    assert (ours.row.dim, ours.row.answers, ours.steps.size) == (256, ("copy",), (SIDE, SIDE))


def test_the_architecture_of_the_published_isc_has_a_new_name() -> None:
    from footage.encoders.descriptors import Isc
    from footage.encoders.row import Options
    from footage.encoders.weights import Held

    encoder = Isc(encoders.ROWS["isc"], Held(Path(), {"none": "0"}), Options())
    encoder.__dict__["_facts"] = {"arch": "tf_efficientnetv2_m_in21ft1k"}
    assert encoder._arch == "tf_efficientnetv2_m.in21k_ft_in1k"
    assert timm.is_model(encoder._arch.partition(".")[0])
    assert encoder.steps.size == (512, 512)


def test_arguments_that_want_to_run_something_are_refused(tmp_path: Path) -> None:
    isc(tmp_path / "isc.pth.tar", args=Malicious(tmp_path / "run"))
    with pytest.raises(EncoderError, match="cannot load"):
        only(encoders.load(f"isc:{tmp_path}/isc.pth.tar", cache_dir=tmp_path / "cache").encode_images(images_of(1)))
    assert not (tmp_path / "run").exists()


def images_of(n: int) -> Any:
    return np.zeros((n, 32, 32, 3), np.uint8)


# ------------------------------------------------------------------------------------------------ from a file, by name


def test_sscd_is_taken_from_a_file_under_any_of_its_names(tmp_path: Path) -> None:
    network, cache = sscd(), tmp_path / "cache"
    file = tmp_path / "sscd_disc_advanced.classy.pt"
    torch.save(classy(network), str(file))
    row = encoders.ROWS["sscd"]
    held = weights.pull(row, cache_dir=cache, source=file)
    assert list(held.digests) == [file.name] and weights.is_here(row, cache)
    photos: Any = reference.photographs()[FEW]
    same(only(encoders.load("sscd", cache_dir=cache).encode_images(photos)), sscd_by_hand(network))


def test_what_is_no_descriptor_is_not_taken(tmp_path: Path) -> None:
    row, cache = encoders.ROWS["sscd"], tmp_path / "cache"
    torch.save({"a.weight": torch.zeros(2)}, str(tmp_path / "w.pt"))
    with pytest.raises(EncoderError, match="cannot load"):
        weights.pull(row, cache_dir=cache, source=tmp_path / "w.pt")
    isc(tmp_path / "isc.pth.tar")
    with pytest.raises(EncoderError, match="cannot load"):
        weights.pull(row, cache_dir=cache, source=tmp_path / "isc.pth.tar")
    torch.save(classy(sscd(dim=64)), str(tmp_path / "small.pt"))
    with pytest.raises(EncoderError, match="64 numbers, not 512"):
        weights.pull(row, cache_dir=cache, source=tmp_path / "small.pt")
    assert not weights.is_here(row, cache)
    with pytest.raises(EncoderUnavailable, match="the weights of isc are not here"):
        encoders.load("isc", cache_dir=cache)
    for name in ("sscd:", "isc:/nowhere.pt"):
        with pytest.raises(UnknownEncoder, match="no such file"):
            encoders.lookup(name)
