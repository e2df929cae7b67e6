"""Small checkpoints with random weights of a seed, in the file formats of torch's world. Needs the group `torch`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import reference

TEXTS = ["a red car", "一只猫坐在沙发上，看着窗外。", "😀🏽‍🚀 party 🎉", "word " * 200, "Two DOGS, on the beach!"]


def same(ours: Any, theirs: Any, apart: float = 1e-4) -> None:
    """Equal vectors of unit length."""
    theirs = np.asarray(theirs, np.float32)
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < apart, np.abs(ours - theirs).max()


def only(vectors: dict[str, Any]) -> Any:
    [value] = vectors.values()
    return value


def images() -> list[Any]:
    """Photographs of odd sizes, as Pillow's."""
    from PIL import Image

    return [Image.fromarray(photo) for photo in reference.photographs()]


def shake(build: Callable[[], Any], seed: int) -> Any:
    """Build a network with random weights everywhere: some start as zeros, and would hide a mistake."""
    torch = reference.torch_()
    torch.manual_seed(seed)
    network = build()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
    return network.eval()


OPENAI = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
    "quick_gelu": True,
}


def openai(path: Path, *, archive: bool, seed: int = 1) -> None:
    """An OpenAI CLIP: a state dict, or the TorchScript archive that OpenAI published, with 16-bit weights."""
    torch = reference.torch_()
    open_clip = reference.need("open_clip")
    network = shake(lambda: open_clip.CLIP(**OPENAI), seed)
    open_clip.model.convert_weights_to_lp(network)
    state = {**network.state_dict(), **{n: torch.tensor(v) for n, v in FACTS.items()}}
    if archive:
        torch.jit.save(torch.jit.script(_nested(torch, state)), str(path))
    else:
        torch.save(state, str(path))


FACTS = {"input_resolution": 64, "context_length": 20, "vocab_size": 49408}


def _nested(torch: Any, state: dict[str, Any]) -> Any:
    """Modules that hold the weights under their names, with a program: what a reader must not run is there."""
    top = torch.nn.Sequential()
    for name, tensor in state.items():
        *path, last = name.split(".")
        module = top
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Sequential())
            module = module._modules[part]
        if tensor.is_floating_point():
            module.register_parameter(last, torch.nn.Parameter(tensor))
        else:
            module.register_buffer(last, tensor)
    return top


SIGLIP = {
    "embed_dim": 64,
    "custom_text": True,
    "init_logit_bias": -10,
    "vision_cfg": {"image_size": 64, "timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"},
    "text_cfg": {
        "context_length": 24, "vocab_size": 400, "hf_tokenizer_name": "beside", "width": 64, "heads": 4, "layers": 2,
        "tokenizer_kwargs": {"clean": "canonicalize"}, "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"},
    },
}  # fmt: skip
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
GEMMA = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}


def open_clip_folder(folder: Path, shape: dict[str, Any], steps: dict[str, Any], *, seed: int = 2) -> None:
    """A folder as `local-dir:` of open_clip wants it."""
    from copy import deepcopy

    open_clip = reference.need("open_clip")
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    shape = deepcopy(shape)
    if shape["text_cfg"].get("hf_tokenizer_name"):
        tokenizer = onnx_models.gemma_like()
        tokenizer.save(str(folder / "tokenizer.json"))
        onnx_models.write(folder / "tokenizer_config.json", GEMMA)
        shape["text_cfg"]["vocab_size"] = tokenizer.get_vocab_size()
    onnx_models.write(folder / "open_clip_config.json", {"model_cfg": shape, "preprocess_cfg": steps})
    network = shake(lambda: open_clip.create_model(f"local-dir:{folder}", pretrained_text=False), seed)
    save_file({n: t.contiguous() for n, t in network.state_dict().items()}, str(folder / "open_clip_model.safetensors"))


def write_json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")
