"""High dynamic range to ordinary RGB, in numpy: pictures are already small when they come here.

PQ and HLG as in ITU-R BT.2100; the knee is the EETF of BT.2390 section 5.4.1, applied to the largest component so that
hues stay; the reference white of 203 cd/m2 (BT.2408) becomes the white of the screen.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    from footage.types import Float32, UInt8

Transfer = Literal["pq", "hlg"]
WHITE = 203.0  # cd/m2 that become full white
PEAK = 1000.0  # cd/m2 of the brightest highlight that is told apart: what HDR is mastered to, by and large
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_BT2020_TO_709 = np.array(  # ITU-R BT.2407, linear light
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def transfer(frame: av.VideoFrame) -> Transfer | None:
    """Which HDR curve a frame is coded with, if any (ITU-T H.273 TransferCharacteristics)."""
    return "pq" if frame.color_trc == 16 else "hlg" if frame.color_trc == 18 else None


def to_sdr(coded: NDArray[np.uint16], curve: Transfer, primaries: int) -> UInt8:
    """Map R'G'B' uint16 (h, w, 3), full scale, to sRGB uint8 of the same shape."""
    light = _pq_light()[coded] if curve == "pq" else _hlg_light(_hlg_scene()[coded])
    top = light.max(axis=-1, keepdims=True)
    mapped = light * (_knee(top) / np.maximum(top, 1e-6))
    if primaries in (9, 2):  # BT.2020, or untagged: HDR comes in no other
        mapped = mapped @ _BT2020_TO_709.T
    return _srgb()[np.clip(mapped * 4095 + 0.5, 0, 4095).astype(np.uint16)]


def _pq_code(light: Any) -> Any:
    """Linear light in cd/m2 to a PQ code 0..1."""
    power = np.power(np.maximum(light, 0) / 10000, _M1)
    return np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)


def _pq_decode(code: Any) -> Any:
    """A PQ code 0..1 to linear light in cd/m2."""
    power = np.power(np.clip(code, 0, 1), 1 / _M2)
    return 10000 * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)


@cache
def _pq_light() -> Float32:
    return (_pq_decode(np.arange(65536) / 65535)).astype(np.float32)


@cache
def _hlg_scene() -> Float32:
    """Inverse OETF: signal to scene light 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.arange(65536) / 65535
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


def _hlg_light(scene: Float32) -> Float32:
    """The HLG OOTF for a display of 1000 cd/m2, system gamma 1.2: scene light to cd/m2."""
    weights = np.array([0.2627, 0.6780, 0.0593], np.float32)
    brightness = (scene @ weights)[..., None]
    return (PEAK * np.power(np.maximum(brightness, 1e-6), 0.2) * scene).astype(np.float32)


def _knee(light: Float32) -> Float32:
    """cd/m2 up to PEAK to 0..1 of white: straight to the knee, a Hermite spline above (BT.2390)."""
    return np.interp(light, *_knee_table()).astype(np.float32)


@cache
def _knee_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    source = float(_pq_code(PEAK))
    ceiling = float(_pq_code(WHITE)) / source
    start = 1.5 * ceiling - 0.5
    code = np.linspace(0, 1, 1025)
    t = (code - start) / (1 - start)
    spline = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * (1 - start) + (-2 * t**3 + 3 * t**2) * ceiling
    mapped = np.where(code < start, code, spline)
    return _pq_decode(code * source), _pq_decode(mapped * source) / WHITE


@cache
def _srgb() -> UInt8:
    """Linear 0..1 in 4096 steps to sRGB (IEC 61966-2-1)."""
    linear = np.arange(4096) / 4095
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)
