"""What is to be known of a model's folder before a tower is loaded, in each of the three layouts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from footage.encoders import preprocess, tokens
from footage.encoders.onnx.tower import one_line
from footage.errors import EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from footage.encoders.preprocess import Preprocess
    from footage.encoders.tokens import TokenRules


def xenova(variant: str = "") -> tuple[str, ...]:
    """The files of a model in the layout of Xenova and onnx-community; variants are fp16, int8, quantized, ..."""
    end = f"_{variant}" if variant else ""
    towers = (f"onnx/vision_model{end}.onnx", f"onnx/text_model{end}.onnx")
    return (*towers, "config.json", "preprocessor_config.json", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class Layout:
    """What is to be known of a folder before a tower is loaded."""

    visual: Path
    preprocess: Preprocess
    textual: Path
    tokenizer: Path
    tokens: TokenRules | None  # None: it answers no words, and the two files before are not there
    dim: int  # 0: not told


def read_layout(folder: Path, variant: str = "") -> Layout:
    """Read the settings of a model; no graph is opened.

    Raises:
        EncoderError: a file is damaged, or describes something else.
    """
    immich = (folder / "visual" / "model.onnx").is_file() and not variant
    if immich:
        paths = ("visual/model.onnx", "textual/model.onnx", "textual/tokenizer.json")
    else:
        visual, textual, *_ = xenova(variant)
        paths = (visual, textual, "tokenizer.json")
    read = _own if (folder / "footage.json").is_file() else _immich if immich else _xenova
    steps, rules = read(folder)
    visual, textual, tokenizer = (folder / path for path in paths)
    return Layout(visual, steps, textual, tokenizer, rules, told_dim(folder))


def write_own(folder: Path, model: str, dim: int, steps: Preprocess, rules: TokenRules | None, **facts: str) -> None:
    """Write the `footage.json` of a model in our own layout; the facts are for people."""
    values: dict[str, Any] = {"format": 1, "model": model, "dim": dim, **facts, "preprocess": steps.as_dict()}
    if rules is not None:
        values["tokens"] = asdict(rules)
    (folder / "footage.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def answers_words(folder: Path) -> bool:
    """Tell whether the model in a folder answers words; in our own layout it need not."""
    values = _json(folder / "footage.json")
    return not values or "tokens" in values


def _own(folder: Path) -> tuple[Preprocess, TokenRules | None]:
    path = folder / "footage.json"
    values = _json(path)
    try:
        if values["format"] != 1:
            raise ValueError(f"it is of format {values['format']}, which a newer version of Footage reads")
        rules = tokens.TokenRules(**values["tokens"]) if "tokens" in values else None
        return preprocess.from_dict(values["preprocess"]), rules
    except (KeyError, TypeError, ValueError, EncoderError) as error:
        raise EncoderError(f"cannot read {path}: {one_line(error)}") from None


def _immich(folder: Path) -> tuple[Preprocess, TokenRules]:
    text = _json(folder / "config.json").get("text_cfg")
    if not isinstance(text, dict):
        raise EncoderError(f"{folder / 'config.json'} describes no text tower", hint="is it an open_clip model?")
    rules = tokens.from_open_clip(cast("dict[str, Any]", text), _json(folder / "textual" / "tokenizer_config.json"))
    return _steps(preprocess.from_open_clip, folder / "visual" / "preprocess_cfg.json"), rules


def _xenova(folder: Path) -> tuple[Preprocess, TokenRules]:
    rules = tokens.from_transformers(_json(folder / "config.json"), _json(folder / "tokenizer_config.json"))
    return _steps(preprocess.from_transformers, folder / "preprocessor_config.json"), rules


def _steps(read: Callable[[Mapping[str, Any]], Preprocess], path: Path) -> Preprocess:
    values = _json(path)
    try:
        return read(values)
    except EncoderError as error:
        raise EncoderError(f"{path}: {error.message}", hint=error.hint) from None


def told_dim(folder: Path) -> int:
    """The dimension as one of the configurations tells it; 0: none does."""
    for name, keys in (("footage.json", ("dim",)), ("config.json", ("embed_dim", "projection_dim"))):
        values = _json(folder / name)
        for key in keys:
            if isinstance(values.get(key), int) and values[key] > 0:
                return int(values[key])
    return 0


def _json(path: Path) -> dict[str, Any]:
    """The settings in a file; none where it is absent, as some files are in some repositories."""
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EncoderUnavailable(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise EncoderError(f"cannot read {path}: {one_line(error)}", hint="pull it again") from None
    if not isinstance(values, dict):
        raise EncoderError(f"cannot read {path}: it holds no settings", hint="pull it again")
    return cast("dict[str, Any]", values)
