"""One ONNX graph on onnxruntime: rows in, unit vectors out. The only file that knows the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.encoders.row import Options
from footage.errors import ConfigError, EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import Float32

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
}
_CPU = "CPUExecutionProvider"
_DEVICES = {
    "cuda": ("CUDAExecutionProvider", "pip install onnxruntime-gpu in place of onnxruntime"),
    "mps": ("CoreMLExecutionProvider", "the onnxruntime for macOS has it"),
}
"""Device -> what onnxruntime calls it, and how to get it."""

_VECTORS = ("image_embeds", "text_embeds", "embedding", "embeddings", "sentence_embedding", "pooler_output")


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
        EncoderUnavailable: this onnxruntime cannot use the device that is asked for.
    """

    def __init__(self, path: Path, how: Options | None = None) -> None:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

        runtime: Any = onnxruntime  # it has no types
        options = runtime.SessionOptions()
        how = how or Options()
        options.intra_op_num_threads = how.threads
        options.log_severity_level = 3  # its warnings on optimising are nothing to the user
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the decoder needs the cores
        self._path = path
        providers = _providers(runtime, how.device)
        self._broken = _runtime_errors(runtime)
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=providers)
        except self._broken as error:
            raise EncoderError(
                f"cannot load {path}: {one_line(error)}", hint="cut short or no ONNX model: pull it again"
            ) from None
        if how.device and self._session.get_providers()[0] != _name(providers[0]):  # it goes on without, unasked
            raise EncoderUnavailable(
                f"onnxruntime cannot use {how.device} here", hint="does its version fit the driver? or --device cpu"
            )
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
                    f"cannot run {self._path}: {one_line(error)}", hint="are these files of one model?"
                ) from None
            parts.append(np.asarray(vectors, np.float32)[: count - start])
        found = np.concatenate(parts)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _providers(runtime: Any, device: str) -> list[Any]:
    """Where onnxruntime runs a graph, the best first; without a device CUDA where this onnxruntime has it."""
    kind, _, number = device.partition(":")
    offered = runtime.get_available_providers()
    if kind not in ("", "cpu", *_DEVICES):
        raise ConfigError(f"unknown device: {device}", hint="one of: cpu, cuda, mps")
    if kind in _DEVICES and _DEVICES[kind][0] not in offered:
        name, install = _DEVICES[kind]
        what = {"cuda": "CUDA", "mps": "Core ML"}[kind]
        raise EncoderUnavailable(f"this onnxruntime has no {what} ({name})", hint=f"{install}, or --device cpu")
    cuda, coreml = (_DEVICES[which][0] for which in ("cuda", "mps"))
    if kind == "mps":
        return [coreml, _CPU]
    if kind == "cpu" or cuda not in offered:
        return [_CPU]
    # In 19 bits, its default for products on newer cards, vectors would not be those of another machine.
    return [(cuda, {"device_id": number or "0", "use_tf32": "0"}), _CPU]


def _name(provider: Any) -> str:
    return provider if isinstance(provider, str) else provider[0]


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


def one_line(error: BaseException) -> str:
    """What an error says, on one line and not too long."""
    return " ".join(str(error).split())[:200]
