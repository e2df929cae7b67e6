"""A network of torch as an ONNX graph, and a graph in 8-bit integers.

torch has two exporters. The newer one (torch.export, onnxscript) wrote all 19 towers of our trials, the older one all
but that of a model whose places are scaled to another size; the newer is slower, some 3 to 15 s a tower.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Any

from footage.encoders.torch_device import one_line, torch_
from footage.errors import EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EXTRA = "pip install 'footage[onnx-export]'"
OPSET = 18
LARGE = 1_900_000_000
"""Bytes of weights from which they lie in a file of their own, `model.onnx.data`: one of ONNX ends at 2 GiB."""

_QUANTISED = ["MatMul", "Gemm"]
"""Products of matrices, which are nearly all of the work. Tables of words stay as they are: they cost memory and no
time. Convolutions too: the runtime is slower at them in integers than in floats."""


def needs() -> None:
    """Make sure that what exports is here.

    Raises:
        EncoderUnavailable: it is not installed.
    """
    missing = [name for name in ("torch", "onnxscript") if find_spec(name) is None]
    if missing:
        raise EncoderUnavailable(f"{' and '.join(missing)}, which export, are not installed", hint=f"run: {EXTRA}")


def write_graph(network: Any, feeds: Mapping[str, NDArray[Any]], path: Path, *, large: int = LARGE) -> None:
    """Write a network that gives one vector a row, for any number of rows; `feeds` are examples of its inputs.

    Raises:
        EncoderError: torch cannot write it.
    """
    torch = torch_()
    path.parent.mkdir(parents=True, exist_ok=True)
    size = sum(w.numel() * w.element_size() for w in [*network.parameters(), *network.buffers()])
    rows = torch.export.Dim("rows")
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # an operator that ONNX does not have
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                network,
                tuple(torch.from_numpy(given.copy()) for given in feeds.values()),
                str(path),
                input_names=list(feeds),
                output_names=["vector"],  # a name that no operator has: the exporter does not look
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=tuple({0: rows} for _ in feeds),
                external_data=size >= large,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        raise EncoderError(f"torch cannot export it: {one_line(error)}", hint="use the model on torch") from None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def quantise(path: Path, made: Path, *, large: int = LARGE) -> bool:
    """Write a graph with its products of matrices in 8-bit integers; whether there were any.

    Raises:
        EncoderError: it cannot be done.
    """
    import onnx
    from onnxruntime import quantization  # pyright: ignore[reportMissingTypeStubs]

    tool: Any = quantization  # it has no types
    load: Any = onnx.load  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    made.parent.mkdir(parents=True, exist_ok=True)
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    try:
        with _quiet():
            tool.quantize_dynamic(
                str(path),
                str(made),
                op_types_to_quantize=_QUANTISED,
                weight_type=tool.QuantType.QInt8,
                per_channel=True,
                # Weights of 7 bits: in 8, sums overflow on processors without VNNI, and a library that was indexed on
                # one machine would be searched with other vectors on another.
                reduce_range=True,
                use_external_data_format=size >= large,
            )
    except (RuntimeError, ValueError, OSError) as error:
        raise EncoderError(f"cannot quantise {path.name}: {one_line(error)}") from None
    graph = load(str(made), load_external_data=False).graph
    return any(node.op_type == "MatMulInteger" for node in graph.node)


@contextmanager
def _quiet() -> Generator[None]:
    """Keep what the exporters print and warn of from the user."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        yield
