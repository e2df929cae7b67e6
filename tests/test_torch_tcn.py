"""Time-contrastive networks, beside a forward pass of its own over torchvision's Inception."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch_models
from torch_models import images, only, same

from footage import encoders
from footage.encoders import weights
from footage.errors import EncoderError

torch = reference.torch_()
inception = reference.need("torchvision").models.inception
F = torch.nn.functional
FEW = slice(0, 3)
TRUNK = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2",
    "Mixed_5b", "Mixed_5c", "Mixed_5d",
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Any:
    """torchvision's whole Inception, of which a part is used."""
    return torch_models.shake(lambda: inception.Inception3(aux_logits=False, init_weights=False), 7)


@pytest.fixture(scope="module")
def state(network: Any) -> dict[str, Any]:
    """The state dict of a time-contrastive network whose layers are narrower than those of the paper."""
    torch.manual_seed(8)
    out = {name: tensor for name, tensor in network.state_dict().items() if name.partition(".")[0] in TRUNK}
    for name, width, depth in (("Conv2d_6a_3x3", 10, 288), ("Conv2d_6b_3x3", 4, 10)):
        out[f"{name}.conv2d.weight"] = torch.randn(width, depth, 3, 3) * 0.1
        out[f"{name}.conv2d.bias"] = torch.randn(width)
        out[f"{name}.batch_norm.weight"] = torch.rand(width) + 0.5
        out[f"{name}.batch_norm.bias"] = torch.randn(width)
        out[f"{name}.batch_norm.running_mean"] = torch.randn(width)
        out[f"{name}.batch_norm.running_var"] = torch.rand(width) + 0.5
        out[f"{name}.batch_norm.num_batches_tracked"] = torch.tensor(1)
    out["FullyConnected7a.linear.weight"] = torch.randn(32, 4 * 31 * 31)
    out["FullyConnected7a.linear.bias"] = torch.randn(32)
    return out


@pytest.fixture(scope="module")
def file(state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tcn") / "pouring.pk"
    torch.save(state, str(path))
    return path


def theirs(network: Any, state: dict[str, Any]) -> Any:
    """The same forward pass, from pixels on, step by step."""
    from PIL import Image

    pictures = [np.array(i.resize((299, 299), Image.Resampling.BICUBIC), np.float32) / 255 for i in images()[FEW]]
    x = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2)).clone()
    for channel, (mean, deviation) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        x[:, channel] = x[:, channel] * (deviation / 0.5) + (mean - 0.5) / 0.5
    with torch.no_grad():
        for name in TRUNK:
            x = getattr(network, name)(x)
        for name in ("Conv2d_6a_3x3", "Conv2d_6b_3x3"):
            of = {n.removeprefix(f"{name}."): t for n, t in state.items() if n.startswith(name)}
            x = F.conv2d(x, of["conv2d.weight"], of["conv2d.bias"])
            mean, var, scale, shift = (
                of[f"batch_norm.{n}"][:, None, None] for n in ("running_mean", "running_var", "weight", "bias")
            )
            x = ((x - mean) / torch.sqrt(var + 1e-3) * scale + shift).clamp(min=0)
        assert x.shape[1:] == (4, 31, 31)
        x = torch.exp(x) / torch.exp(x).sum(dim=1, keepdim=True)
        return x.reshape(len(x), -1) @ state["FullyConnected7a.linear.weight"].T + state["FullyConnected7a.linear.bias"]


def test_it_gives_what_the_same_steps_give(network: Any, state: dict[str, Any], file: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    photos: Any = reference.photographs()[FEW]
    wanted = theirs(network, state)
    ours = encoders.load(f"tcn:{file}", cache_dir=tmp_path / "cache")
    found = only(ours.encode_images(photos))
    same(found, wanted)
    assert (ours.row.dim, ours.row.answers, ours.input_size(1920, 1080)) == (32, ("image",), (299, 299))
    alone = np.concatenate([only(ours.encode_images([photo])) for photo in photos])  # type: ignore[arg-type]
    assert np.abs(found - alone).max() < 1e-5
    save_file({n: t.contiguous() for n, t in state.items()}, str(tmp_path / "same.safetensors"))
    other = encoders.load(f"tcn:{tmp_path / 'same.safetensors'}", cache_dir=tmp_path / "cache")
    same(only(other.encode_images(photos)), wanted)
    assert weights.held(ours.row, tmp_path / "cache") is not None


def test_files_of_another_kind(state: dict[str, Any], file: Path, tmp_path: Path) -> None:
    """Cut short, without a layer, with one more, with a head of another size: one line, before or at the first use."""
    content = file.read_bytes()
    (tmp_path / "short.pk").write_bytes(content[: len(content) // 2])
    torch.save({n: t for n, t in state.items() if "6b" not in n}, str(tmp_path / "less.pk"))
    torch.save({**state, "FullyConnectedConcat.linear.weight": torch.zeros(2, 2)}, str(tmp_path / "more.pk"))
    wide = {"FullyConnected7a.linear.weight": torch.zeros(32, 77)}
    torch.save({**state, **wide}, str(tmp_path / "wide.pk"))
    for name, word in (("short", ""), ("less", "no time-contrastive"), ("more", "FullyConnectedConcat"),
                       ("wide", "no time-contrastive")):  # fmt: skip
        with pytest.raises(EncoderError, match=f"cannot load .*{word}") as caught:
            model = encoders.load(f"tcn:{tmp_path / name}.pk", cache_dir=tmp_path / "cache")
            model.encode_images(reference.photographs()[:1])
        assert "\n" not in str(caught.value) and caught.value.hint
    with pytest.raises(EncoderError, match="no such file"):
        encoders.lookup("tcn:/nowhere.pk")
