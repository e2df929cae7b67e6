"""Models of open_clip: `open_clip:ARCH/TAG`, or a folder as `local-dir:` of open_clip knows it.

The two towers are built apart by open_clip's own builders, and each reads its own part of the weights only.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from footage.encoders import preprocess, tokens
from footage.encoders.preprocess import Preprocess
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.rows_torch import OPEN_CLIP_FILES, TORCH
from footage.encoders.torch_device import library
from footage.encoders.torch_encoder import TorchEncoder, Words, try_out
from footage.encoders.torch_files import loading, read_state
from footage.encoders.weights import Held, require
from footage.errors import EncoderError, UnknownEncoder
from footage.types import Space

if TYPE_CHECKING:
    from collections.abc import Mapping

_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_NEEDS = tuple(("open_clip_config.json", name) for name in _WEIGHTS)
_NO_TOWER = ("logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size", "attn_mask")

_ROBERTA = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 514,
            "type_vocab_size": 1, "layer_norm_eps": 1e-5}  # fmt: skip
_XLM = {"model_type": "xlm-roberta", "vocab_size": 250002, **_ROBERTA}
_NLLB = {"model_type": "m2m_100", "vocab_size": 256206, "d_model": 1024, "encoder_attention_heads": 16,
         "max_position_embeddings": 1024, "scale_embedding": True, "decoder_layers": 1}  # fmt: skip
TEXT_TOWERS: Mapping[str, Mapping[str, Any]] = {
    "xlm-roberta-base": {**_XLM, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                         "intermediate_size": 3072},
    "xlm-roberta-large": {**_XLM, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
                          "intermediate_size": 4096},
    "roberta-base": {"model_type": "roberta", "vocab_size": 50265, **_ROBERTA, "hidden_size": 768,
                     "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "facebook/nllb-200-distilled-600M": {**_NLLB, "encoder_layers": 12, "encoder_ffn_dim": 4096},
    "facebook/nllb-200-distilled-1.3B": {**_NLLB, "encoder_layers": 24, "encoder_ffn_dim": 8192},
}  # fmt: skip
"""The text towers that open_clip's configurations name and transformers would fetch the shape of. The decoder of the
translation models is not used and kept small."""


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `open_clip:ARCH/TAG`, of `open_clip:FOLDER` or of `open_clip:OWNER/NAME` on the model hub.

    Raises:
        EncoderUnavailable: open_clip, which knows the tags, is not installed.
        UnknownEncoder: neither a folder nor a tag that open_clip knows nor a repository.
    """
    folder = Path(rest.removeprefix("local-dir:")).expanduser()
    if rest and folder.is_dir():
        folder = folder.absolute()
        weights = Weights(folder=str(folder), files=(*OPEN_CLIP_FILES, *_WEIGHTS), needs=_NEEDS)
        return member(f"open_clip:{folder}", folder.name, str(folder), weights, "open_clip", "a model of open_clip")
    repo = rest.removeprefix("hf-hub:")
    architecture, _, tag = rest.partition("/")
    known: Any = library("open_clip").pretrained.get_pretrained_cfg(architecture, tag)
    if known:
        return _tagged(name, architecture, tag, known)
    if repo.count("/") != 1 or repo.startswith((".", "/", "~")) or repo.endswith("/"):
        raise UnknownEncoder(
            f"open_clip knows no {rest or '(nothing)'}", hint="open_clip:ARCH/TAG, open_clip:OWNER/NAME or a folder"
        )
    weights = Weights(repo=repo, files=(*OPEN_CLIP_FILES, *_WEIGHTS[1:]), needs=_NEEDS)
    return member(f"open_clip:{repo}", tag, repo, weights, "open_clip", "a model of open_clip")


def _tagged(name: str, architecture: str, tag: str, known: Mapping[str, Any]) -> EncoderRow:
    where, file, url = str(known.get("hf_hub") or ""), "", str(known.get("url") or "")
    variant = f"{architecture}/{tag}"
    if where:
        repo, _, file = where.rpartition("/")
        names = (file,) if file else _WEIGHTS
        safe = tuple(n.removesuffix(".bin").removesuffix(".pt") + ".safetensors" for n in names)
        wanted = tuple(dict.fromkeys((*safe, *names)))
        weights = Weights(repo=repo, files=(*OPEN_CLIP_FILES, *wanted), needs=tuple((one,) for one in wanted))
    elif url:
        weights, repo = Weights(urls={url.rpartition("/")[2]: url}), url
    else:
        raise UnknownEncoder(f"open_clip has no weights of {variant}", hint="open_clip:ARCH/TAG")
    dim = int(library("open_clip").get_model_config(architecture)["embed_dim"])
    summary = f"{architecture} of open_clip, trained as {tag}"
    return member(f"open_clip:{variant}", variant, repo, weights, "open_clip", summary, dim=dim, variant=variant)


def member(
    name: str, short: str, source: str, weights: Weights, family: str, summary: str, *,
    dim: int = 0, variant: str = "", answers: tuple[Any, ...] = ("text", "image"),
) -> EncoderRow:  # fmt: skip
    """The row of a model that is named by a family's prefix; its space is told apart by the whole name."""
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    plain = short.replace("/", "-")
    return EncoderRow(
        name=name,
        spaces=(Space(f"{plain}-{mark}", dim, answers),),
        languages=("unknown",) if "text" in answers else (),
        licence="see its source",
        source=source,
        size_mb=0,
        install=TORCH,
        summary=summary,
        factory=f"footage.encoders.{family}:build",
        weights=weights,
        variant=variant,
    )


def build(row: EncoderRow, options: Options) -> OpenClip:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return OpenClip(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load both towers once and run them.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(OpenClip(row, weights, Options(device="cpu")))


class OpenClip(TorchEncoder):
    """A model of open_clip."""

    @cached_property
    def _config(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The shape of the towers, and how pictures are prepared."""
        path = self.weights.folder / "open_clip_config.json"
        if path.exists():
            values = read_json(path)
            shape: Any = values.get("model_cfg")
            steps: Any = values.get("preprocess_cfg") or {}
        else:
            architecture, _, tag = self.named.variant.partition("/")
            shape = library("open_clip").get_model_config(architecture)
            steps = library("open_clip").pretrained.get_pretrained_cfg(architecture, tag)
            steps = {k: v for k, v in steps.items() if k in ("mean", "std", "interpolation", "resize_mode")}
        if not isinstance(shape, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= shape.keys():
            raise EncoderError(f"cannot load {path}: it describes no two towers", hint="is it a model of open_clip?")
        if "multimodal_cfg" in shape:
            raise EncoderError(f"{self.named.name} writes captions (CoCa), which is not supported")
        return cast("dict[str, Any]", shape), cast("dict[str, Any]", steps)

    @cached_property
    def steps(self) -> Preprocess:
        """As the configuration describes them; the size is that of the tower."""
        shape, steps = self._config
        size = shape["vision_cfg"].get("image_size") or steps.get("size") or 224
        return preprocess.from_open_clip({**steps, "size": size})

    def told_dim(self) -> int:
        """The dimension in the configuration."""
        return int(self._config[0]["embed_dim"])

    def make_image_tower(self) -> Any:
        """Build it, and read its weights only."""
        shape, _ = self._config
        path = self._file()
        with loading(path):
            vision = {**shape["vision_cfg"], "timm_model_pretrained": False}
            tower = vision_tower(int(shape["embed_dim"]), vision, quick_gelu=bool(shape.get("quick_gelu")))
            fill(tower, image_state(path))
        return tower

    def make_text_tower(self) -> Any:
        """Build it, and read its weights only."""
        shape, _ = self._config
        path = self._file()
        with loading(path):
            tower = text_tower(int(shape["embed_dim"]), shape["text_cfg"], quick_gelu=bool(shape.get("quick_gelu")))
            fill(tower, text_state(path))
        return tower

    def make_tokeniser(self) -> Words:
        """CLIP's own, which comes with open_clip, or the one in the folder."""
        text = cast("dict[str, Any]", self._config[0]["text_cfg"])
        if text.get("tokenizer_mode"):
            raise EncoderError(f"{self.named.name} reads words as {text['tokenizer_mode']}, which is not supported")
        length = int(text.get("context_length") or 77)
        if text.get("hf_tokenizer_name"):
            folder = self.weights.folder
            beside = folder / "tokenizer_config.json"
            rules = tokens.from_open_clip(text, read_json(beside) if beside.exists() else {})
            known = TEXT_TOWERS.get(str(text.get("hf_model_name") or ""), {})
            if not beside.exists() and "pad_token_id" in known:  # number 0 is the beginning of a text there
                rules = replace(rules, pad=int(known["pad_token_id"]))
            found = tokens.Tokeniser.read(folder / "tokenizer.json", rules)
        else:
            found = clip_tokeniser(length)
        return Words(found)

    def _file(self) -> Path:
        for name in sorted(self.weights.digests, key=lambda name: not name.endswith(".safetensors")):
            if not name.endswith((".json", ".txt", ".model")):
                return self.weights.folder / name
        raise EncoderError(f"no weights of {self.named.name} in {self.weights.folder}", hint="pull it again")


def clip_tokeniser(length: int) -> tokens.Tokeniser:
    """The tokeniser of OpenAI's CLIP, whose vocabulary comes with open_clip."""
    return tokens.Tokeniser.read_clip_bpe(Path(library("open_clip.tokenizer").default_bpe()), length)


def vision_tower(dim: int, shape: Mapping[str, Any], *, quick_gelu: bool) -> Any:
    """An image tower with no weights in it yet."""
    # The builders of whole models would build, and fill with random numbers, the other tower too.
    return library("open_clip.model")._build_vision_tower(dim, dict(shape), quick_gelu)


def text_tower(dim: int, shape: Mapping[str, Any], *, quick_gelu: bool) -> Any:
    """A text tower with no weights in it yet."""
    given = {**shape, "hf_model_pretrained": False}
    known = TEXT_TOWERS.get(str(shape.get("hf_model_name") or ""))
    build = library("open_clip.model")._build_text_tower
    if known is None:
        return build(dim, given, quick_gelu)
    with tempfile.TemporaryDirectory() as folder:  # where transformers would ask the hub for the shape
        (Path(folder) / "config.json").write_text(json.dumps(known), encoding="utf-8")
        return build(dim, {**given, "hf_model_name": folder}, quick_gelu)


def image_state(path: Path) -> dict[str, Any]:
    """The weights of the image tower."""
    found = read_state(path, lambda name: name.removeprefix("module.").startswith("visual."))
    return {name.removeprefix("module.").removeprefix("visual."): tensor for name, tensor in found.items()}


def text_state(path: Path) -> dict[str, Any]:
    """The weights of the text tower, whether they stand by themselves or not."""

    def wanted(name: str) -> bool:
        name = name.removeprefix("module.")
        return not name.startswith("visual.") and name not in _NO_TOWER

    found = read_state(path, wanted)
    return {name.removeprefix("module.").removeprefix("text."): tensor for name, tensor in found.items()}


def fill(tower: Any, state: dict[str, Any]) -> None:
    """Put weights into a tower, which must have a place for each; numbers of all kinds become 32-bit floats."""
    state.pop("transformer.embeddings.position_ids", None)  # older transformers kept it
    state.pop("attn_mask", None)
    tower.load_state_dict(state, strict=True)
    tower.float()


def read_json(path: Path) -> dict[str, Any]:
    """The settings in a file.

    Raises:
        EncoderError: it cannot be read, or holds none.
    """
    with loading(path):
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no settings")
    return cast("dict[str, Any]", values)
