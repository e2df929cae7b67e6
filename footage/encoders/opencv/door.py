"""The one place that imports OpenCV."""

from __future__ import annotations

from typing import Any

from footage.errors import EncoderUnavailable

INSTALL = "pip install 'footage[opencv]'"


def opencv() -> Any:
    """The module `cv2`; loaded on first use, which takes a tenth of a second.

    Raises:
        EncoderUnavailable: it is not installed, or of a version that lacks what is needed.
    """
    try:
        import cv2  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EncoderUnavailable(f"OpenCV cannot be loaded: {error}", hint=f"run: {INSTALL}") from None
    module: Any = cv2
    if not hasattr(module, "HOGDescriptor"):
        version = getattr(module, "__version__", "of an unknown version")
        raise EncoderUnavailable(f"OpenCV {version} lacks HOGDescriptor; version 4 has it", hint=f"run: {INSTALL}")
    return module
