"""The classics of torchvision, img2vec and VGG-16, beside torchvision itself, in the files it publishes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch_models
from torch_models import images, only, same

from footage import encoders
from footage.encoders import weights
from footage.encoders.img2vec import Img2Vec
from footage.encoders.records import Held
from footage.encoders.row import Options
from footage.encoders.vgg import Vgg
from footage.errors import EncoderError, MediaError, UnknownEncoder

torch = reference.torch_()
models = reference.need("torchvision").models
FEW = slice(0, 3)  # photographs: these are networks of full size


def write(path: Path, model: str, *, old: bool = False) -> Any:
    """A checkpoint as torchvision publishes it; the oldest ones are no zip files."""
    network = torch_models.shake(lambda: models.get_model(model, weights=None), 5)
    state = network.state_dict()
    if old and model.startswith("densenet"):
        state = {n.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): v for n, v in state.items()}
    torch.save(state, str(path), _use_new_zipfile_serialization=not old)
    return network


def pixels(model: str) -> Any:
    steps = models.get_model_weights(model).IMAGENET1K_V1.transforms()
    return torch.stack([steps(image) for image in images()[FEW]])


def before_classes(network: Any, given: Any) -> Any:
    """What goes into the last linear layer."""
    seen: list[Any] = []
    line = [m for m in network.modules() if isinstance(m, torch.nn.Linear)][-1]
    handle = line.register_forward_pre_hook(lambda _, rows: seen.append(rows[0]))
    with torch.no_grad():
        network(given)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("model", ["resnet18", "alexnet", "densenet121", "efficientnet_b0"])
def test_equals_torchvision(tmp_path: Path, model: str) -> None:
    network = write(tmp_path / "w.pth", model, old=model in ("alexnet", "densenet121"))
    row = encoders.ROWS[f"img2vec:{model}"]
    ours = Img2Vec(row, Held(tmp_path, {"w.pth": "0"}), Options())
    same(only(ours.encode_images(reference.photographs()[FEW])), before_classes(network, pixels(model)))
    assert ours.row.dim == row.dim


def test_a_layer_of_choice(tmp_path: Path) -> None:
    network = write(tmp_path / "resnet18-f37072fd.pth", "resnet18")
    row = encoders.lookup("img2vec:ResNet18#layer2")
    assert (row.dim, row.variant) == (0, "layer2")
    assert row.spaces[0].name != encoders.ROWS["img2vec:resnet18"].spaces[0].name
    ours = Img2Vec(row, Held(tmp_path, {"resnet18-f37072fd.pth": "0"}), Options())
    seen: list[Any] = []
    network.layer2.register_forward_hook(lambda *found: seen.append(found[2]))
    with torch.no_grad():
        network(pixels("resnet18"))
    same(only(ours.encode_images(reference.photographs()[FEW])), seen[0].mean(dim=(2, 3)))
    assert ours.row.dim == 128
    other = Img2Vec(encoders.lookup("img2vec:resnet18#layer9"), ours.weights, Options())
    with pytest.raises(EncoderError, match="no layer layer9") as caught:
        other.encode_images(reference.photographs()[:1])
    assert "layer1" in caught.value.hint


def test_a_picture_or_a_list_of_pictures(tmp_path: Path) -> None:
    write(tmp_path / "w.pth", "resnet18")
    ours = Img2Vec(encoders.ROWS["img2vec:resnet18"], Held(tmp_path, {"w.pth": "0"}), Options())
    photos = images()
    photos[2].save(tmp_path / "picture.png")
    one = ours.vector(photos[2])
    assert one.shape == (512,)
    assert np.array_equal(one, ours.vector(np.asarray(photos[2])))
    assert np.array_equal(one, ours.vector(tmp_path / "picture.png"))
    many = ours.vector([*photos, str(tmp_path / "picture.png")])
    assert many.shape == (len(photos) + 1, 512)
    assert np.abs(many - np.stack([*(ours.vector(photo) for photo in photos), one])).max() < 1e-5
    assert ours.vector([]).shape == (0, 512)
    with pytest.raises(MediaError):
        ours.vector(tmp_path / "nothing.png")


def test_other_models_of_torchvision_by_name() -> None:
    row = encoders.lookup("img2vec:mobilenet_v3_small")
    assert row.weights is not None
    [file] = row.weights.urls
    assert file.startswith("mobilenet_v3_small-")
    assert file.removesuffix(".pth").endswith(row.weights.sha256[file])
    for name in ("img2vec:", "img2vec:nothing", "img2vec:fasterrcnn_resnet50_fpn"):
        with pytest.raises(UnknownEncoder, match="torchvision has no"):
            encoders.lookup(name)


def test_a_layer_uses_the_weights_that_were_pulled_for_the_model(tmp_path: Path) -> None:
    """Pulled from a folder, where the file is not torchvision's: its digest begins otherwise."""
    row = encoders.ROWS["img2vec:resnet18"]
    (tmp_path / "stick").mkdir()
    write(tmp_path / "stick/resnet18-f37072fd.pth", "resnet18")
    with pytest.raises(EncoderError, match=r"resnet18-f37072fd\.pth"):
        weights.pull(row, cache_dir=tmp_path / "cache", source=tmp_path / "stick")
    assert not weights.is_here(row, tmp_path / "cache")
    with pytest.raises(EncoderError, match="the weights of img2vec:resnet18 are not here"):
        encoders.load("img2vec:resnet18#layer1", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_file_of_torchvision_cut_short(tmp_path: Path, share: float) -> None:
    for old in (False, True):
        write(tmp_path / "w.pth", "resnet18", old=old)
        content = (tmp_path / "w.pth").read_bytes()
        (tmp_path / "w.pth").write_bytes(content[: int(len(content) * share)])
        fails(Img2Vec(encoders.ROWS["img2vec:resnet18"], Held(tmp_path, {"w.pth": "0"}), Options()))


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    write(tmp_path / "w.pth", "resnet18")
    fails(Img2Vec(encoders.ROWS["img2vec:efficientnet_b0"], Held(tmp_path, {"w.pth": "0"}), Options()))
    fails(Img2Vec(encoders.ROWS["img2vec:resnet50"], Held(tmp_path, {"w.pth": "0"}), Options()))
    shutil.copyfile(tmp_path / "w.pth", tmp_path / "vgg16-397923af.pth")
    fails(Vgg(encoders.ROWS["vgg16"], Held(tmp_path, {"vgg16-397923af.pth": "0"}), Options()))


def test_vgg(tmp_path: Path) -> None:
    """The largest of each map; and flattened, through a projection of one's own."""
    from safetensors.torch import save_file

    vgg = models.vgg
    torch.manual_seed(6)
    maps = vgg.make_layers(vgg.cfgs["D"]).eval()
    state = {f"features.{name}": tensor for name, tensor in maps.state_dict().items()}
    state |= {"classifier.0.weight": torch.zeros(2, 2)}  # not looked at
    torch.save(state, str(tmp_path / "vgg16-397923af.pth"), _use_new_zipfile_serialization=False)
    with torch.no_grad():
        theirs = maps(pixels("vgg16"))
    ours = encoders.load(f"vgg:{tmp_path}", cache_dir=tmp_path / "cache")
    photos: Any = reference.photographs()[FEW]
    same(only(ours.encode_images(photos)), theirs.amax(dim=(2, 3)))
    assert (ours.row.dim, encoders.ROWS["vgg16"].dim) == (512, 512)
    line = torch.nn.Linear(25088, 16)
    save_file(line.state_dict(), str(tmp_path / "projection.safetensors"))
    projected = encoders.load(f"vgg:{tmp_path}", cache_dir=tmp_path / "cache")
    with torch.no_grad():
        same(only(projected.encode_images(photos)), line(theirs.flatten(1)))
    assert projected.row.dim == 16
    assert projected.fingerprint != ours.fingerprint
    save_file(torch.nn.Linear(512, 16).state_dict(), str(tmp_path / "projection.safetensors"))
    assert "25088" in str(fails(encoders.load(f"vgg:{tmp_path}", cache_dir=tmp_path / "cache")))
    with pytest.raises(UnknownEncoder, match="no such folder"):
        encoders.lookup("vgg:/nowhere")


def fails(encoder: Any) -> EncoderError:
    with pytest.raises(EncoderError) as caught:
        encoder.encode_images(reference.photographs()[:1])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return caught.value
