"""Small text-image models with random weights of a seed, in the real file formats, with tokenisers trained here."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

PATCH = 8
DIM = 24
WIDTH = 16

CORPUS = [
    "a red car drives along the road", "two dogs play on the beach", "a woman cooks dinner in a small kitchen",
    "the train leaves the station at night", "一只猫坐在沙发上看着窗外", "红色的汽车停在路边", "孩子们在海滩上玩耍",
    "une voiture rouge", "ein rotes Auto fährt durch die Stadt", "людей на улице много", "猫と犬が遊んでいる",
    "snow falls on the mountain", "a man is playing the guitar", "close-up of a flower in the rain 2024",
]  # fmt: skip


class Small:
    """The numbers of a model, so that a test can work out by hand what the graphs must give."""

    def __init__(self, seed: int, side: int, length: int, vocabulary: int) -> None:
        rng = np.random.default_rng(seed)
        self.side, self.length = side, length
        self.kernel = rng.normal(0, 0.1, (WIDTH, 3, PATCH, PATCH)).astype(np.float32)
        self.image_head = rng.normal(0, 1, (WIDTH, DIM)).astype(np.float32)
        self.words = rng.normal(0, 1, (vocabulary, WIDTH)).astype(np.float32)
        self.places = rng.normal(0, 1, (length, 1)).astype(np.float32)
        self.text_head = rng.normal(0, 1, (WIDTH, DIM)).astype(np.float32)

    def image_vectors(self, pixels: Any) -> Any:
        """Vectors of normalised pictures (n, 3, side, side), in plain numpy."""
        n, cells = len(pixels), self.side // PATCH
        patches = pixels.reshape(n, 3, cells, PATCH, cells, PATCH).transpose(0, 2, 4, 1, 3, 5).reshape(n, cells**2, -1)
        maps = np.maximum(patches @ self.kernel.reshape(WIDTH, -1).T, 0)
        return unit(maps.mean(axis=1) @ self.image_head)

    def text_vectors(self, ids: Any) -> Any:
        """Vectors of rows of tokens (n, length), in plain numpy."""
        return unit((self.words[ids] * self.places).mean(axis=1) @ self.text_head)


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def image_graph(
    small: Small, path: Path, *, rows: int | str, output: str, takes: str = "image", raw: bool = False
) -> None:
    """The image tower; `raw`: uint8 (n, h, w, 3) in, and the graph normalises with mean and deviation 0.5."""
    constants = [numpy_helper.from_array(small.kernel, "kernel"), numpy_helper.from_array(small.image_head, "head")]
    nodes = []
    x = takes
    side = small.side
    given = helper.make_tensor_value_info(takes, TensorProto.FLOAT, [rows, 3, side, side])
    if raw:
        given = helper.make_tensor_value_info(takes, TensorProto.UINT8, [rows, side, side, 3])
        constants.append(numpy_helper.from_array(np.float32(127.5), "half"))
        nodes += [
            helper.make_node("Cast", [takes], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["float", "half"], ["scaled"]),
            helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.float32(1), "one")),
            helper.make_node("Sub", ["scaled", "one"], ["centred"]),
            helper.make_node("Transpose", ["centred"], ["planes"], perm=[0, 3, 1, 2]),
        ]
        x = "planes"
    nodes += [
        helper.make_node("Conv", [x, "kernel"], ["patches"], strides=[PATCH, PATCH]),
        helper.make_node("Relu", ["patches"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "head"], [output]),
    ]
    hidden = helper.make_tensor_value_info("maps", TensorProto.FLOAT, None)
    _save(nodes, [given], [hidden, _vector(output, rows)], constants, path)


def text_graph(small: Small, path: Path, *, rows: int | str, output: str, takes: tuple[str, ...], kind: int) -> None:
    """The text tower; a second input, the mask, multiplies nothing, as pooled models have it."""
    constants = [
        numpy_helper.from_array(small.words, "words"),
        numpy_helper.from_array(small.places, "places"),
        numpy_helper.from_array(small.text_head, "head"),
    ]
    given = [helper.make_tensor_value_info(name, kind, [rows, small.length]) for name in takes]
    nodes = [
        helper.make_node("Gather", ["words", takes[0]], ["embedded"]),
        helper.make_node("Mul", ["embedded", "places"], ["placed"]),
        helper.make_node("ReduceMean", ["placed"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], [output]),
    ]
    _save(nodes, given, [_vector(output, rows)], constants, path)


def _vector(name: str, rows: int | str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, DIM])


def _save(nodes: list[Any], given: list[Any], gives: list[Any], constants: list[Any], path: Path) -> None:
    graph = helper.make_graph(nodes, "small", given, gives, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def clip_like() -> Tokenizer:
    """A byte-level BPE in the form of CLIP's tokenizer.json, trained on a few lines."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    special = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(CORPUS, trainer)
    numbers = [(word, tokenizer.token_to_id(word)) for word in special]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=numbers
    )
    return tokenizer


def gemma_like() -> Tokenizer:
    """A SentencePiece-like BPE with byte fallback, in the form of Gemma's tokenizer.json, as SigLIP 2 has it."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=special + pieces,
        initial_alphabet=list(string.ascii_lowercase),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return tokenizer


def write(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def immich(folder: Path, *, seed: int = 1, rows: int | str = 1, raw: bool = False) -> Small:
    """A model as the Immich project lays it out: SigLIP 2's tokens, pictures squashed, one row a run."""
    tokenizer = gemma_like()
    small = Small(seed, side=32, length=12, vocabulary=tokenizer.get_vocab_size())
    image_graph(small, folder / "visual/model.onnx", rows=rows, output="embedding", raw=raw)
    text_graph(
        small, folder / "textual/model.onnx", rows=rows, output="embedding", takes=("text",), kind=TensorProto.INT32
    )
    tokenizer.save(str(folder / "textual/tokenizer.json"))
    write(folder / "textual/tokenizer_config.json", {"pad_token": "<pad>", "tokenizer_class": "GemmaTokenizer"})
    write(
        folder / "visual/preprocess_cfg.json",
        {"size": [32, 32], "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic",
         "resize_mode": "squash", "fill_color": 0},
    )  # fmt: skip
    text = {"context_length": 12, "tokenizer_kwargs": {"clean": "canonicalize"}}
    write(folder / "config.json", {"embed_dim": DIM, "vision_cfg": {"image_size": 32}, "text_cfg": text})
    return small


def xenova(folder: Path, *, seed: int = 2, variant: str = "") -> Small:
    """A model as Xenova and onnx-community lay it out: CLIP's tokens, pictures cropped, any number of rows."""
    tokenizer = clip_like()
    small = Small(seed, side=48, length=16, vocabulary=tokenizer.get_vocab_size())
    end = f"_{variant}" if variant else ""
    image_graph(
        small, folder / f"onnx/vision_model{end}.onnx", rows="batch", output="image_embeds", takes="pixel_values"
    )
    text_graph(
        small, folder / f"onnx/text_model{end}.onnx", rows="batch", output="text_embeds",
        takes=("input_ids", "attention_mask"), kind=TensorProto.INT64,
    )  # fmt: skip
    tokenizer.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", {"pad_token": {"content": "<|endoftext|>"}, "model_max_length": 16})
    write(folder / "config.json", {"model_type": "clip", "projection_dim": DIM, "text_config": {}})
    write(
        folder / "preprocessor_config.json",
        {"crop_size": {"height": 48, "width": 48}, "do_center_crop": True, "do_normalize": True, "do_resize": True,
         "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4], "resample": 3, "size": {"shortest_edge": 48},
         "image_processor_type": "CLIPImageProcessor"},
    )  # fmt: skip
    return small
