"""Frame rates as exact fractions, and SMPTE timecode.

SMPTE ST 12-1: a timecode counts frames. At 29.97 and 59.94 frames/s, drop-frame counting (written with `;` before the
frames) leaves out the labels ;00 and ;01 (;00 to ;03 at 59.94) at each minute but every tenth, so that the label keeps
pace with the clock; no picture is lost by it.
"""

from __future__ import annotations

import re
from fractions import Fraction

from footage.errors import ConfigError

RATES = tuple(
    Fraction(*r)
    for r in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (48, 1), (50, 1), (60000, 1001), (60, 1))
)
"""Frames per second for which a timecode is defined."""

_DROPPING = {Fraction(30000, 1001): 2, Fraction(60000, 1001): 4}  # labels left out in a minute
# Far less than the 0.1 % between 24 and 23.976, far more than the rounding of a container's clock.
_NEAR = Fraction(1, 5000)
_LABEL = re.compile(r"(\d{1,2})[:;](\d{1,2})[:;](\d{1,2})([:;.,])(\d{1,3})")


def exact_rate(told: Fraction) -> tuple[Fraction, bool]:
    """Frames per second as an exact fraction (24000/1001 for 23.976), and whether it is a steady rate.

    A rate that is neither whole nor whole x 1000/1001 is the average of a variable one: it becomes the nearest of
    `RATES`, as editing programs conform such a file. Nothing told becomes 25, and is not steady.
    """
    if told <= 0:
        return Fraction(25), False
    for rate in (Fraction(round(told)), Fraction(round(told * 1001 / 1000) * 1000, 1001)):
        if rate and abs(told / rate - 1) < _NEAR:
            return rate, True
    return nearest_rate(told), False


def nearest_rate(rate: Fraction) -> Fraction:
    """The member of `RATES` that is nearest by ratio."""
    return min(RATES, key=lambda r: max(r / rate, rate / r))


def can_drop(rate: Fraction) -> bool:
    """Whether drop-frame counting is defined at this rate."""
    return rate in _DROPPING


def timecode(frame: int, rate: Fraction, drop: bool) -> str:
    """The label `hh:mm:ss:ff` (`hh:mm:ss;ff` if `drop`) of a frame counted from 00:00:00:00; wraps at 24 hours.

    Raises ConfigError: drop-frame counting at a rate that has none.
    """
    base = round(rate)
    left_out = _left_out(rate) if drop else 0
    frame %= (base * 3600 - 54 * left_out) * 24
    if drop:
        tens, rest = divmod(frame, base * 600 - 9 * left_out)
        # The first minute of ten is whole; each later one is short by the labels left out.
        minutes = max(0, (rest - left_out) // (base * 60 - left_out))
        frame += left_out * (9 * tens + minutes)
    seconds, frames = divmod(frame, base)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{';' if drop else ':'}{frames:02d}"


def frame_of(label: str, rate: Fraction) -> tuple[int, bool]:
    """The frame that a timecode names, counted from 00:00:00:00, and whether the label counts in drop-frame.

    A `;` (or `.`, or `,`) before the frames means drop-frame where the rate has it. A label that drop-frame leaves out
    means the next one that exists.

    Raises ConfigError: not a timecode, or not at this rate.
    """
    match = _LABEL.fullmatch(label.strip())
    base = round(rate)
    if match is None:
        raise ConfigError(f"not a timecode: {label!r}", hint="for example 01:00:00:00, or 01:00:00;00 for drop-frame")
    hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
    if minutes > 59 or seconds > 59 or frames >= base or hours > 23:
        raise ConfigError(f"not a timecode at {float(rate):.6g} frames/s: {label!r}")
    drop = match[4] != ":" and can_drop(rate)
    if drop:
        left_out = _left_out(rate)
        if minutes % 10 and not seconds:
            frames = max(frames, left_out)
        frames -= left_out * (hours * 54 + minutes - minutes // 10)
    return (hours * 3600 + minutes * 60 + seconds) * base + frames, drop


def relabel(label: str, rate: Fraction, target: Fraction, drop: bool) -> int:
    """The frame at another rate whose label has the same hours, minutes and seconds, and the frames in proportion.

    This is how an edit list of one rate names a frame of a source of another.
    """
    clock, frames = re.split(r"[:;](?=\d+$)", label)
    scaled = int(int(frames) * round(target) / round(rate))
    return frame_of(f"{clock}{';' if drop else ':'}{scaled:02d}", target)[0]


def _left_out(rate: Fraction) -> int:
    if rate not in _DROPPING:
        raise ConfigError(f"no drop-frame timecode at {float(rate):.6g} frames/s", hint="only at 29.97 and 59.94")
    return _DROPPING[rate]
