"""Tell Dolby Vision that nothing but a licensed decoder shows rightly.

Profile 5 codes its pictures in Dolby's own colours (IPT, reshaped frame by frame), without the ordinary HDR or SDR
picture that the other profiles hold. Decoded as if they were YCbCr, faces are green and magenta.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from av.sidedata.sidedata import Type as SideDataType

if TYPE_CHECKING:
    import av

WARNING = "Dolby Vision profile 5: its colours cannot be converted, so they are wrong in all of its pictures"
# Dolby Vision Streams Within the ISO Base Media File Format 2.1.2: HEVC that is not to be taken for ordinary HEVC.
_TAGS = frozenset(("dvh1", "dvhe"))
_BT2020 = (9, 10)  # ITU-T H.273 MatrixCoefficients


def has_only_dolby_colours(frame: av.VideoFrame, tag: str) -> bool:
    """Whether a frame is of profile 5, by the metadata that came with it, or else by the `tag` of its codec."""
    rpu: Any = None
    with suppress(ValueError):  # another kind of side data that this PyAV has no name for
        rpu = cast("Any", frame.side_data).get(SideDataType.DOVI_RPU_BUFFER)
    if rpu is not None:
        return _profile_5(bytes(rpu)[:16])
    # Profile 8 may bear the tag too, and says that it is BT.2020.
    return tag in _TAGS and frame.colorspace not in _BT2020


def _profile_5(rpu: bytes) -> bool:
    """Read the head of a reference processing unit (ETSI GS CCM 001, 5.3), as libav guesses the profile."""
    bits = "".join(f"{byte:08b}" for byte in rpu[1:])  # the first byte only says that it is one

    def take(count: int) -> int:
        nonlocal bits
        value, bits = int(bits[:count] or "0", 2), bits[count:]
        return value

    kind, _, profile, _ = take(6), take(11), take(4), take(4)
    if kind != 2 or profile or not take(1):
        return False
    take(1)
    if take(2) == 0:  # fixed-point coefficients: their precision follows, as an Exp-Golomb code
        zeros = len(bits) - len(bits.lstrip("0"))
        take(2 * zeros + 1)
    take(2)
    return bool(take(1))  # pictures in full range, which only profile 5 has together with profile 0 here
