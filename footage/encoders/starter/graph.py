"""EfficientNet-Lite0 as an ONNX graph: uint8 pictures in, pooled features and class weights out.

Tan & Le 2019 (EfficientNet), in the "lite" form of the TensorFlow TPU repository: no squeeze-and-excitation, ReLU6,
stem and head of fixed width. The weights come from TensorFlow, hence SAME padding (more at the bottom right),
batch-norm epsilon 1e-3 and the input scaling (x - 127) / 128.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Weights = dict[str, NDArray[np.float32]]

VERSION = 1  # part of the cached file's name and of the fingerprint: raise it when the graph changes
CLASSES = 1000
FEATURES = 1280
STRIDE = 32  # sides are multiples of it, so that SAME padding is the same at every stride
WINDOW = 3  # cells of the final map that make one region

_EPSILON = 1e-3
# kernel, stride and repeats of the seven stages (EfficientNet-B0 at width 1.0 and depth 1.0)
_STAGES = ((3, 1, 1), (3, 2, 2), (5, 2, 2), (3, 2, 3), (5, 1, 3), (5, 2, 4), (3, 1, 1))
_OPSET = 17
_IR_VERSION = 8  # of the same age as the opset: older runtimes can read it


def build(weights: Weights) -> bytes:
    """Build the graph, batch norm folded into the convolutions, as a serialised ONNX model.

    Input `pictures` uint8 (n, h, w, 3) RGB with sides that are multiples of 32, at least 96. Outputs `features`
    float32 (n, 1280), the mean of the final map, unit length, and `classes` float32 (n, 1000), see `_Builder.head`.
    """
    builder = _Builder(weights)
    x = builder.stem()
    index = 0
    for kernel, stride, repeats in _STAGES:
        for repeat in range(repeats):
            x = builder.block(x, index, kernel, stride if repeat == 0 else 1, residual=repeat > 0)
            index += 1
    builder.head(x)
    return builder.serialise()


class _Builder:
    """Collects nodes and constants in the order of the data."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self.zero = self.constant("zero", np.float32(0))
        self.six = self.constant("six", np.float32(6))

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def relu6(self, x: str) -> str:
        return self.node("Clip", [x, self.zero, self.six], f"{x}.relu6")

    def conv(self, x: str, name: str, norm: str, *, stride: int = 1, scale: float = 1.0) -> str:
        """Add a convolution with its batch norm folded in; depth-wise if the weights have one input channel."""
        kernel = self.weights[f"{name}.weight"]
        gain = self.weights[f"{norm}.weight"] / np.sqrt(self.weights[f"{norm}.running_var"] + _EPSILON)
        bias = self.weights[f"{norm}.bias"] - gain * self.weights[f"{norm}.running_mean"]
        outputs, inputs, size, _ = kernel.shape
        before = (size - stride) // 2  # SAME padding of a side that the stride divides
        after = size - stride - before
        folded = kernel * (gain * np.float32(scale)).reshape(-1, 1, 1, 1)
        return self.node(
            "Conv",
            [x, self.constant(f"{name}.w", folded.astype(np.float32)), self.constant(f"{name}.b", bias)],
            name,
            group=outputs if inputs == 1 else 1,
            strides=[stride, stride],
            pads=[before, before, after, after],
        )

    def stem(self) -> str:
        x = self.node("Cast", ["pictures"], "pictures.float", to=TensorProto.FLOAT)
        x = self.node("Sub", [x, self.constant("grey", np.float32(127))], "pictures.centred")
        x = self.node("Transpose", [x], "pictures.planes", perm=[0, 3, 1, 2])
        return self.relu6(self.conv(x, "_conv_stem", "_bn0", stride=2, scale=1 / 128))

    def block(self, x: str, index: int, kernel: int, stride: int, *, residual: bool) -> str:
        prefix = f"_blocks.{index}"
        assert self.weights[f"{prefix}._depthwise_conv.weight"].shape[2] == kernel
        y = x
        if f"{prefix}._expand_conv.weight" in self.weights:  # the first block has nothing to expand
            y = self.relu6(self.conv(y, f"{prefix}._expand_conv", f"{prefix}._bn0"))
        y = self.relu6(self.conv(y, f"{prefix}._depthwise_conv", f"{prefix}._bn1", stride=stride))
        y = self.conv(y, f"{prefix}._project_conv", f"{prefix}._bn2")
        return self.node("Add", [x, y], f"{prefix}.sum") if residual else y

    def head(self, x: str) -> None:
        """Add the outputs.

        `classes` is 0.5 p^0.5 of the whole picture + 0.5 p^0.5 of the best window, a class at a time, where p is the
        softmax of the classifier and the windows are 3 x 3 cells of the final map: a small thing beside a large
        one still gets its word, for the price of a matrix product.
        """
        last = self.relu6(self.conv(x, "_conv_head", "_bn1"))
        flat = self.constant("flat", np.array([0, FEATURES], np.int64))
        self.constant("classifier.w", np.ascontiguousarray(self.weights["_fc.weight"].T))
        self.constant("classifier.b", self.weights["_fc.bias"])
        pooled = self.node("Reshape", [self.node("GlobalAveragePool", [last], "mean"), flat], "pooled")
        self.node("LpNormalization", [pooled], "features", axis=1, p=2)
        whole = self.node("Sqrt", [self.probabilities(pooled, "whole")], "whole.root")
        windows = self.node("AveragePool", [last], "windows", kernel_shape=[WINDOW, WINDOW])
        rows = self.constant("rows", np.array([0, FEATURES, -1], np.int64))
        windows = self.node("Reshape", [windows, rows], "windows.rows")
        windows = self.node("Transpose", [windows], "windows.columns", perm=[0, 2, 1])
        best = self.node("ReduceMax", [self.probabilities(windows, "window")], "best", axes=[1], keepdims=0)
        best = self.node("Sqrt", [best], "best.root")
        self.node("Mean", [whole, best], "classes")

    def probabilities(self, x: str, name: str) -> str:
        logits = self.node("MatMul", [x, "classifier.w"], f"{name}.product")
        logits = self.node("Add", [logits, "classifier.b"], f"{name}.logits")
        return self.node("Softmax", [logits], f"{name}.probabilities", axis=-1)

    def serialise(self) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "efficientnet_lite0",
            [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["n", "h", "w", 3])],
            [
                helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES]),
                helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["n", CLASSES]),
            ],
            self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="footage",
            producer_version=str(VERSION),
        )
        onnx.checker.check_model(model, full_check=True)  # pyright: ignore[reportUnknownMemberType]
        return model.SerializeToString()
