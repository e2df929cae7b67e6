"""PyTorch for the encoders that run on it: its import, the device, the precision and the size of a batch.

The only door to torch and to what stands on it: `library("timm")` imports a library after the cure that it may need.
"""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.encoders.rows_torch import TORCH
from footage.errors import ConfigError, EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from footage.encoders.row import Options
    from footage.types import Float32

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_BATCH = {"cuda": 256, "mps": 64}
"""Pictures in one pass to begin with; it is halved when they do not fit. More than 16 is no faster on a CPU."""


@cache
def torch_() -> Any:
    """PyTorch.

    Raises:
        EncoderUnavailable: it is not installed.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EncoderUnavailable(f"torch cannot be imported: {error}", hint=f"run: {TORCH}") from None
    found: Any = torch
    return found


@cache
def _cure() -> Any:
    """Define two operators that a CUDA build of torchvision misses beside a CPU build of torch: it breaks on import."""
    torch = torch_()
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return None
    except RuntimeError:
        fragment = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
                fragment.define(schema)
        return fragment  # the operators live as long as it does
    return None


@cache
def library(name: str) -> Any:
    """Import a library that stands on torch.

    Raises:
        EncoderUnavailable: it is not installed, or does not go with the rest.
    """
    _cure()
    try:
        found: Any = importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        raise EncoderUnavailable(f"{name} cannot be imported: {one_line(error)}", hint=f"run: {TORCH}") from None
    if name == "transformers":
        found.utils.logging.disable_progress_bar()
        found.utils.logging.set_verbosity_error()
    return found


def then(network: Any, after: Callable[[Any], Any]) -> Any:
    """A network with a plain function behind it."""
    nn = torch_().nn

    def forward(_: Any, found: Any) -> Any:
        return after(found)

    return nn.Sequential(network, type("After", (nn.Module,), {"forward": forward})())


class Machine:
    """Where the networks of one encoder run, and how many rows they are given at a time.

    Raises:
        ConfigError: there is no such device.
    """

    def __init__(self, options: Options) -> None:
        self.torch = torch_()
        self.device = self.torch.device(_device(self.torch, options.device))
        self.batch = _BATCH.get(self.device.type, 16)
        if options.threads:
            self.torch.set_num_threads(options.threads)

    def place(self, network: Any) -> Any:
        """Bring a network to the device, for looking only."""
        return network.eval().requires_grad_(False).to(self.device)

    def run(self, network: Callable[..., Any], rows: Callable[[int, int], tuple[NDArray[Any], ...]], n: int) -> Float32:
        """Give `rows(start, stop)` for all n to the network, in batches that fit: float32 (n, dim) of unit length.

        Raises:
            EncoderError: the network takes other rows than these, or not one row fits into memory.
        """
        parts: list[Float32] = []
        start = 0
        while start < n:
            stop = min(n, start + self.batch)
            try:
                parts.append(self._pass(network, rows(start, stop)))
            except (RuntimeError, ValueError, IndexError) as error:
                if not _memory(self.torch, error) or stop - start == 1:
                    raise EncoderError(f"cannot run the network: {one_line(error)}", hint="is it this model?") from None
                self.batch = (stop - start + 1) // 2
                if self.device.type == "cuda":
                    self.torch.cuda.empty_cache()
            else:
                start = stop
        return unit(np.concatenate(parts))

    def _pass(self, network: Callable[..., Any], rows: tuple[NDArray[Any], ...]) -> Float32:
        feeds = [self.torch.from_numpy(np.ascontiguousarray(row)).to(self.device) for row in rows]
        half = self.device.type == "cuda"
        # Sums and norms stay in 32 bits: not every network was made for 16.
        precision: Any = self.torch.autocast("cuda", self.torch.float16) if half else nullcontext()
        with self.torch.inference_mode(), precision:
            return np.asarray(network(*feeds).float().cpu().numpy(), np.float32)


def unit(vectors: Float32) -> Float32:
    """Vectors of unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def one_line(error: BaseException) -> str:
    """What an error says, on one line and not too long."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _device(torch: Any, wanted: str) -> str:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind = wanted.partition(":")[0]
    if not wanted:
        return next(name for name, usable in there.items() if usable)
    if kind not in there:
        raise ConfigError(f"unknown device: {wanted}", hint="one of: cpu, cuda, mps")
    number = wanted.partition(":")[2]
    if not there[kind] or (kind == "cuda" and number and not (number.isdigit() and int(number) < _count(torch))):
        usable = ", ".join(name for name, here in there.items() if here)
        raise ConfigError(f"no device {wanted} on this machine", hint=f"usable: {usable}")
    return wanted


def _count(torch: Any) -> int:
    return int(torch.cuda.device_count())


def _memory(torch: Any, error: Exception) -> bool:
    """Tell whether memory was short; only CUDA says so by a class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in str(error) for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )
