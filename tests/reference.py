"""The libraries whose numbers ours must equal. They come from the dependency group `torch`; without it we skip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def torch_() -> Any:
    """PyTorch, with the operators that a CUDA build of torchvision misses beside a CPU torch."""
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", "qnms(Tensor dets) -> Tensor"):
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _KEPT.append(library)  # the schemas live as long as it does
    return torch


def need(name: str) -> Any:
    """A library that stands on torch, or a skipped test."""
    torch_()
    return pytest.importorskip(name)


def photographs() -> list[Any]:
    """Real photographs of odd sizes, as RGB uint8 arrays."""
    data = pytest.importorskip("skimage.data")
    astronaut, cat, coffee = data.astronaut(), data.chelsea(), data.coffee()
    return [
        astronaut,  # 512 x 512
        cat,  # 451 x 300
        coffee[:397, :599],
        astronaut[:511, 3:214],  # upright and narrow
        coffee[100:331],  # wide: 600 x 231
        cat[:97, :131],  # smaller than the input of any network
        np.ascontiguousarray(cat[::3, ::2]),
        astronaut[200:225, :],  # 512 x 25
    ]


_KEPT: list[Any] = []
