"""An edit decision list in the format of CMX 3600.

What it cannot say is settled by rules. One list has one rate, the one that most of its shots have (above 60 frames/s,
or at a rate without timecode: the nearest that has one). Source times are source timecode. A source of another rate is
named by the label of its own timecode, its frames scaled to the list's rate, and lasts as long to the nearest frame of
the list; its own timecode stands in a comment. The record side starts at one hour, without gaps, and counts in
drop-frame if the first shot at the list's rate does. A `;` marks drop-frame (SMPTE ST 12-1).

The adapter of OpenTimelineIO is not used for writing: it always writes drop-frame at 29.97, whatever the source says,
and takes all sources to have the rate of the first.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from footage.errors import ConfigError
from footage.export.names import plain
from footage.export.shots import Shot
from footage.media.timecode import RATES, can_drop, frame_of, nearest_rate, relabel, timecode

_MOST_EVENTS = 999  # an event has a number of three digits
_REEL = 8  # characters
_NOT_REELS = {"AX", "BL"}  # an auxiliary source, black


def as_edl(shots: Sequence[Shot], title: str) -> str:
    """The list as text, with the reel, the name and the path of every source.

    Raises ConfigError: more than 999 shots.
    """
    if len(shots) > _MOST_EVENTS:
        raise ConfigError(
            f"an EDL has at most {_MOST_EVENTS} events, these are {len(shots)}", hint="use fcpxml or otio, or split it"
        )
    rate = list_rate(shots)
    drop = can_drop(rate) and next((s.info.drop for s in shots if s.info.rate == rate), True)
    names = reels(shots)
    lines = [f"TITLE: {plain(title)[:70]}", f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}", ""]
    record = frame_of("01:00:00;00" if drop else "01:00:00:00", rate)[0]
    for number, shot in enumerate(shots, 1):
        count = shot.count if shot.info.rate == rate else shot.count_at(rate)
        source_drop = shot.info.drop if shot.info.rate == rate else drop
        start = _source_start(shot, rate, source_drop)
        channels = "V" if not shot.info.audio_channels else "B" if shot.info.audio_channels == 1 else "AA/V"
        times = [timecode(f, rate, source_drop) for f in (start, start + count)]
        times += [timecode(f, rate, drop) for f in (record, record + count)]
        lines.append(f"{number:03d}  {names[shot.moment.video.id]:8} {channels:5} C        {' '.join(times)}")
        lines += _comments(shot, rate)
        record += count
    return "\n".join(lines) + "\n"


def list_rate(shots: Sequence[Shot]) -> Fraction:
    """The rate with a timecode that most shots have; of equals the first."""
    rates = [s.info.rate if s.info.rate in RATES else nearest_rate(s.info.rate) for s in shots]
    return Counter(rates).most_common(1)[0][0]


def reels(shots: Sequence[Shot]) -> dict[str, str]:
    """A reel name for every video id: at most 8 of A-Z and 0-9, each its own.

    From what the camera wrote, else from the file's name; one without any such letter becomes V and digits of the id.
    """
    out: dict[str, str] = {}
    for shot in shots:
        if shot.moment.video.id in out:
            continue
        folded = unicodedata.normalize("NFKD", shot.info.reel or shot.path.stem).upper()
        name = re.sub(r"[^A-Z0-9]", "", folded)[:_REEL] or "V" + shot.moment.video.id[: _REEL - 1].upper()
        taken, number, unique = {*out.values(), *_NOT_REELS}, 1, name
        while unique in taken:
            number += 1
            unique = f"{name[: _REEL - len(str(number))]}{number}"
        out[shot.moment.video.id] = unique
    return out


def _source_start(shot: Shot, rate: Fraction, drop: bool) -> int:
    if shot.info.rate == rate:
        return shot.info.start_frame + shot.first
    return relabel(shot.info.timecode_of(shot.first), shot.info.rate, rate, drop)


def _comments(shot: Shot, rate: Fraction) -> list[str]:
    path = shot.source if shot.source.isprintable() else shot.url
    out = [f"* FROM CLIP NAME:  {shot.name}", f"* FROM FILE: {path}", f"* COMMENT: {shot.title}"]
    if shot.info.rate != rate:
        first, last = (shot.info.timecode_of(f) for f in (shot.first, shot.first + shot.count))
        out.append(f"* SOURCE RATE: {float(shot.info.rate):.6g} SOURCE TIMECODE: {first} {last}")
    if shot.info.variable:
        out.append("* SOURCE HAS A VARIABLE FRAME RATE: TIMES ARE TO THE NEAREST FRAME")
    return out
