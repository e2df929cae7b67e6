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


_TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_VISION = {**_TEXT, "image_size": 32, "patch_size": 8}
HF: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "clip": ("CLIPConfig", "CLIPImageProcessor", {"max_position_embeddings": 16, "projection_dim": 24}, {}),
    "siglip": ("SiglipConfig", "SiglipImageProcessor", {"max_position_embeddings": 24}, {}),
    "chinese": ("ChineseCLIPConfig", "ChineseCLIPImageProcessor", {"max_position_embeddings": 40}, {}),
    "altclip": ("AltCLIPConfig", "CLIPImageProcessor", {"max_position_embeddings": 40, "project_dim": 24}, {}),
    "metaclip2": ("MetaClip2Config", "CLIPImageProcessor", {"max_position_embeddings": 16}, {}),
}
"""Kind -> configuration, processor of pictures, what the text tower has beside `_TEXT`."""


def hf_folder(folder: Path, kind: str, *, seed: int = 3) -> None:
    """A folder of transformers, with processor and tokeniser."""
    transformers = reference.need("transformers")
    name, processor, text, _ = HF[kind]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer: Any = onnx_models.gemma_like() if kind in ("siglip", "altclip") else onnx_models.clip_like()
    special = {t: tokenizer.token_to_id(t) for t in ("<pad>", "<eos>", "<|startoftext|>", "<|endoftext|>")}
    start, end = special["<|startoftext|>"], special["<|endoftext|>"] if special["<eos>"] is None else special["<eos>"]
    marks = {"pad_token_id": special["<pad>"] or 0, "bos_token_id": start or 0, "eos_token_id": end}
    length = text["max_position_embeddings"] - (2 if kind == "altclip" else 0)
    settings = {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "bos_token": "<|startoftext|>"}
    settings = GEMMA if kind in ("siglip", "altclip") else {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    vocabulary = {"vocab_size": tokenizer.get_vocab_size()}
    extra = {} if kind == "siglip" else {"projection_dim": 24}
    if kind == "chinese":
        vocabulary = {"vocab_size": _bert(folder / "vocab.txt")}
        settings = {"tokenizer_class": "BertTokenizer", "model_max_length": length}
        marks = {"pad_token_id": 0}
    else:
        tokenizer.save(str(folder / "tokenizer.json"))
    config = getattr(transformers, name)(
        text_config={**_TEXT, **vocabulary, **marks, **text}, vision_config={**_VISION, **extra}, **extra
    )
    network = shake(lambda: transformers.MODEL_MAPPING[type(config)](config), seed)
    network.save_pretrained(str(folder))
    write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": length})
    size: dict[str, Any] = {"size": {"height": 32, "width": 32}}
    if kind == "chinese":
        size["do_center_crop"] = False
    if processor == "CLIPImageProcessor":
        size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    described = getattr(transformers, processor + "Pil")(**size).to_dict()
    write_json(folder / "preprocessor_config.json", {**described, "image_processor_type": processor})


def _bert(path: Path) -> int:
    letters = dict.fromkeys("".join(onnx_models.CORPUS).lower().replace(" ", ""))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return len(words)


def timm_folder(folder: Path, name: str, *, seed: int = 4, **arguments: Any) -> None:
    """A folder as timm's `local-dir:` wants it, with classes."""
    timm = reference.need("timm")
    network = shake(lambda: timm.create_model(name, pretrained=False, num_classes=7, **arguments), seed)
    timm.models.save_for_hf(network, str(folder), model_args=arguments or None, safe_serialization=True)
