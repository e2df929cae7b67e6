"""Text-image models as ONNX on onnxruntime, without torch, in the three layouts that are about.

    Immich            config.json  visual/model.onnx, preprocess_cfg.json  textual/model.onnx, tokenizer.json, ...
    Xenova, onnx-community         onnx/vision_model*.onnx, text_model*.onnx  preprocessor_config.json  tokenizer.json
    our own export    one of the above with a footage.json, which says how to prepare pictures and words

The two towers load separately, each on first use: a query in words never loads the image tower.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from footage.encoders import preprocess, tokens
from footage.encoders.rows import IMMICH, EncoderRow, Options, Weights
from footage.encoders.weights import Held, require
from footage.errors import EncoderError, EncoderUnavailable
from footage.types import Space

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from footage.encoders.preprocess import Preprocess
    from footage.encoders.tokens import TokenRules, Tokens
    from footage.types import Float32, UInt8

_VERSION = 1  # of this file: raise it when the same files could give other vectors
_BATCH = 16  # pictures in one pass where the graph takes any number; more is no faster on a CPU
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
}
_VECTORS = ("image_embeds", "text_embeds", "embedding", "embeddings", "sentence_embedding", "pooler_output")


def xenova(variant: str = "") -> tuple[str, ...]:
    """The files of a model in the layout of Xenova and onnx-community; variants are fp16, int8, quantized, ..."""
    end = f"_{variant}" if variant else ""
    towers = (f"onnx/vision_model{end}.onnx", f"onnx/text_model{end}.onnx")
    return (*towers, "config.json", "preprocessor_config.json", "tokenizer.json")


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `onnx:FOLDER` or `onnx:OWNER/NAME`, with `#VARIANT` after it for another file of the same model.

    Raises:
        EncoderError: neither a folder nor the name of a repository.
    """
    where, _, variant = rest.partition("#")
    folder = Path(where).expanduser()
    files = ("*.json", "visual/*", "textual/*", *xenova(variant)[:2], *(f"{f}_data" for f in xenova(variant)[:2]))
    needs = (IMMICH, xenova(variant)) if not variant else (xenova(variant),)
    if where and folder.is_dir():
        folder = folder.absolute()
        weights = Weights(folder=str(folder), files=files, needs=needs)
        dim = _told_dim(folder)
        short = folder.name
        name = f"onnx:{folder}" + (f"#{variant}" if variant else "")
    elif where.count("/") == 1 and not where.startswith((".", "/", "~")) and not where.endswith("/"):
        weights, dim, short = Weights(repo=where, files=files, needs=needs), 0, where.partition("/")[2]
    else:
        raise EncoderError(f"no such folder: {where or '(none)'}", hint="onnx:FOLDER or onnx:OWNER/NAME")
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return EncoderRow(
        name=name,
        spaces=(Space(f"{short}-{mark}", dim, ("text", "image")),),
        languages=("unknown",),
        licence="see its source",
        source=where,
        size_mb=0,
        install="",
        summary="a text-image model as ONNX",
        factory="footage.encoders.onnx:build",
        weights=weights,
        variant=variant,
    )


def build(row: EncoderRow, options: Options) -> OnnxEncoder:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return OnnxEncoder(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load both towers once and run them.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    encoder = OnnxEncoder(row, weights, Options(threads=1))
    encoder.encode_texts(["a trial"])
    encoder.encode_images(np.zeros((1, 32, 32, 3), np.uint8))


class OnnxEncoder:
    """A text-image model as ONNX; see `Encoder` for the protocol. Pictures may come in any size."""

    def __init__(self, row: EncoderRow, weights: Held, options: Options) -> None:
        self._layout = _read_layout(weights.folder, row)
        self._weights = weights
        self._options = options
        self._named = row
        self._image_lock, self._text_lock = threading.Lock(), threading.Lock()

    @cached_property
    def row(self) -> EncoderRow:
        """The description of this encoder; where only the graph knows the dimension, the text tower is loaded."""
        space = self._named.spaces[0]
        dim = space.dim or self._layout.dim or self._texts(["x"]).shape[1]
        return replace(self._named, spaces=(replace(space, dim=dim),))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files and of the version of this code."""
        parts = [f"{name} {digest}" for name, digest in sorted(self._weights.digests.items())]
        parts.append(f"{_VERSION} {self._named.variant}")
        return f"onnx-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """The size to which pictures are scaled by the model's own rules; a crop may follow."""
        return self._layout.preprocess.input_size(width, height)

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """Encode RGB pictures uint8 (n, h, w, 3) of any size, or a list of (h, w, 3).

        Raises:
            EncoderError: they are of another kind, or the tower is broken or of another model.
        """
        rows = [self._images(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        return self._filled(rows)

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """Encode words; what is longer than the model reads is cut off.

        Raises:
            EncoderError: the tower or the tokeniser is broken, or of another model.
        """
        return self._filled([self._texts(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)])

    def _filled(self, rows: list[Float32]) -> dict[str, Float32]:
        space = self.row.spaces[0]
        vectors = np.concatenate(rows) if rows else np.empty((0, space.dim), np.float32)
        if vectors.shape[1] != space.dim:
            raise EncoderError(
                f"{self._named.name} gives vectors of {vectors.shape[1]} numbers, not {space.dim}",
                hint="these are the weights of another model",
            )
        return {space.name: vectors}

    def _images(self, images: UInt8) -> Float32:
        with self._image_lock:  # loaded once, however many ask
            steps, tower = self._layout.preprocess, self._image_tower
        ready = steps.pictures(images)
        return tower.run({tower.inputs[0].name: ready if tower.takes_bytes else steps.normalise(ready)})

    def _texts(self, texts: Sequence[str]) -> Float32:
        with self._text_lock:
            tokeniser, tower = self._tokeniser, self._text_tower
        rows = tokeniser(texts)
        return tower.run({feed.name: _text_input(feed.name, rows, first=not n) for n, feed in enumerate(tower.inputs)})

    @cached_property
    def _tokeniser(self) -> tokens.Tokeniser:
        return tokens.Tokeniser.read(self._layout.tokenizer, self._layout.tokens)

    @cached_property
    def _image_tower(self) -> Tower:
        return Tower(self._layout.visual, self._options.threads)

    @cached_property
    def _text_tower(self) -> Tower:
        return Tower(self._layout.textual, self._options.threads)


def _text_input(name: str, rows: Tokens, *, first: bool) -> NDArray[np.int64]:
    if name == "attention_mask":
        return rows.mask
    if name == "token_type_ids":
        return np.zeros_like(rows.ids)
    if name == "position_ids":
        return np.broadcast_to(np.arange(rows.ids.shape[1], dtype=np.int64), rows.ids.shape)
    if first or name == "input_ids":
        return rows.ids
    raise EncoderError(f"the text tower asks for {name}, which is not known", hint="is it a text-image model?")


@dataclass(frozen=True, slots=True)
class _Feed:
    """One input of a graph."""

    name: str
    kind: Any  # numpy type
    shape: tuple[int, ...]  # -1: any


class Tower:
    """One ONNX graph that turns rows into vectors. A graph made for a fixed number of rows is run again and again.

    Raises:
        EncoderError: the file is no graph, or one that cannot be run.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

        runtime: Any = onnxruntime  # it has no types
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # its warnings on optimising are nothing to the user
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the decoder needs the cores
        self._path = path
        self._broken = _runtime_errors(runtime)
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except self._broken as error:
            raise EncoderError(
                f"cannot load {path}: {_one_line(error)}", hint="cut short or no ONNX model: pull it again"
            ) from None
        self.inputs = [_feed(one, path) for one in self._session.get_inputs()]
        self._output, self.dim = _vector_output(self._session.get_outputs(), path)

    @property
    def rows(self) -> int:
        """How many rows one run takes; 0: any number."""
        return max(0, self.inputs[0].shape[0])

    @property
    def takes_bytes(self) -> bool:
        """Tell whether the graph normalises pictures itself: uint8 (n, h, w, 3)."""
        return self.inputs[0].kind is np.uint8

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Float32:
        """Run rows through the graph: float32 (n, dim), unit length.

        Raises:
            EncoderError: the graph takes other inputs than these.
        """
        typed = {feed.name: np.ascontiguousarray(feeds[feed.name], feed.kind) for feed in self.inputs}
        count = len(next(iter(typed.values())))
        step = self.rows or count
        parts: list[Float32] = []
        for start in range(0, count, step):
            part = {name: _padded(values[start : start + step], step) for name, values in typed.items()}
            try:
                [vectors] = self._session.run([self._output], part)
            except self._broken as error:
                raise EncoderError(
                    f"cannot run {self._path}: {_one_line(error)}", hint="are these files of one model?"
                ) from None
            parts.append(np.asarray(vectors, np.float32)[: count - start])
        found = np.concatenate(parts)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _padded(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """Fill up the last part for a graph of a fixed number of rows."""
    missing = rows - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


def _feed(one: Any, path: Path) -> _Feed:
    if one.type not in _TYPES:
        raise EncoderError(
            f"{path} takes {one.type} as {one.name}, which is not known", hint="is it a text-image model?"
        )
    shape = tuple(side if isinstance(side, int) else -1 for side in one.shape)
    return _Feed(str(one.name), _TYPES[one.type], shape)


def _vector_output(outputs: list[Any], path: Path) -> tuple[str, int]:
    """The output that holds one vector a row, and its dimension (0: not told)."""
    flat = {str(o.name): o.shape[1] if isinstance(o.shape[1], int) else 0 for o in outputs if len(o.shape) == 2}
    for name in [*(v for v in _VECTORS if v in flat), *flat]:
        return name, flat[name]
    raise EncoderError(f"{path} gives no vector", hint=f"its outputs: {', '.join(str(o.name) for o in outputs)}")


def _runtime_errors(runtime: Any) -> tuple[type[Exception], ...]:
    """What onnxruntime raises: classes of its own that share no base, and plain ones."""
    state = runtime.capi.onnxruntime_pybind11_state
    own = [v for v in (getattr(state, n) for n in dir(state)) if isinstance(v, type) and issubclass(v, Exception)]
    return (*own, ValueError, RuntimeError)


# ------------------------------------------------------------------------------------------------------------ layouts


@dataclass(frozen=True, slots=True)
class Layout:
    """What is to be known of a folder before a tower is loaded."""

    visual: Path
    textual: Path
    tokenizer: Path
    preprocess: Preprocess
    tokens: TokenRules
    dim: int  # 0: not told


def _read_layout(folder: Path, row: EncoderRow) -> Layout:
    immich = (folder / "visual" / "model.onnx").is_file() and not row.variant
    base = _immich(folder) if immich else _xenova(folder, row.variant)
    own = folder / "footage.json"
    if not own.is_file():
        return base()
    values = _json(own)
    try:
        steps = preprocess.from_dict(values["preprocess"])
        rules = tokens.TokenRules(**values["tokens"])
        dim = int(values["dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"cannot read {own}: {_one_line(error)}") from None
    end = f"_{row.variant}" if row.variant else ""
    paths = ("visual/model.onnx", "textual/model.onnx", "textual/tokenizer.json")
    if not immich:
        paths = (f"onnx/vision_model{end}.onnx", f"onnx/text_model{end}.onnx", "tokenizer.json")
    visual, textual, tokenizer = (folder / path for path in paths)
    return Layout(visual, textual, tokenizer, steps, rules, dim)


def _immich(folder: Path) -> Callable[[], Layout]:
    def read() -> Layout:
        config = _json(folder / "config.json")
        text = config.get("text_cfg")
        if not isinstance(text, dict):
            raise EncoderError(f"{folder / 'config.json'} describes no text tower", hint="is it an open_clip model?")
        beside = folder / "textual" / "tokenizer_config.json"
        described = _json(beside) if beside.is_file() else {}
        return Layout(
            folder / "visual" / "model.onnx",
            folder / "textual" / "model.onnx",
            folder / "textual" / "tokenizer.json",
            _steps(preprocess.from_open_clip, folder / "visual" / "preprocess_cfg.json"),
            tokens.from_open_clip(cast("dict[str, Any]", text), described),
            _told_dim(folder),
        )

    return read


def _xenova(folder: Path, variant: str) -> Callable[[], Layout]:
    def read() -> Layout:
        visual, textual, *_ = (folder / name for name in xenova(variant))
        beside = folder / "tokenizer_config.json"
        return Layout(
            visual,
            textual,
            folder / "tokenizer.json",
            _steps(preprocess.from_transformers, folder / "preprocessor_config.json"),
            tokens.from_transformers(_json(folder / "config.json"), _json(beside) if beside.is_file() else {}),
            _told_dim(folder),
        )

    return read


def _steps(read: Callable[[Mapping[str, Any]], Preprocess], path: Path) -> Preprocess:
    values = _json(path)
    try:
        return read(values)
    except EncoderError as error:
        raise EncoderError(f"{path}: {error.message}", hint=error.hint) from None


def _told_dim(folder: Path) -> int:
    """The dimension as one of the configurations tells it; 0: none does."""
    for name, keys in (("footage.json", ("dim",)), ("config.json", ("embed_dim", "projection_dim"))):
        if (folder / name).is_file():
            values = _json(folder / name)
            for key in keys:
                if isinstance(values.get(key), int) and values[key] > 0:
                    return int(values[key])
    return 0


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EncoderUnavailable(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise EncoderError(f"cannot read {path}: {_one_line(error)}", hint="pull it again") from None
    if not isinstance(values, dict):
        raise EncoderError(f"cannot read {path}: it holds no settings", hint="pull it again")
    return cast("dict[str, Any]", values)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
