"""Lists that need nothing but the moments: CSV (RFC 4180), JSON, WebVTT chapters (W3C)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from footage.export.names import Shown, as_it_is, clock, plain, title_of
from footage.types import Moment

_COLUMNS = "video path name start end at duration start_clock end_clock score strength title channels".split()


def as_csv(moments: Sequence[Moment], shown: Shown = as_it_is) -> str:
    """One row for a moment; times in seconds and as a clock.

    A text that a spreadsheet would take for a formula (it starts with = + - @ or a control character) gets an
    apostrophe in front, as OWASP advises.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for m in moments:
        texts = [m.video.id, shown(m.video.path), Path(m.video.path).name]
        numbers = [f"{n:.3f}" for n in (m.start, m.end, m.at, m.end - m.start)]
        found = [title_of(m), ", ".join(dict.fromkeys(e.channel for e in m.evidence))]
        writer.writerow(
            [*map(_cell, texts), *numbers, clock(m.start), clock(m.end), f"{m.score:.4f}", f"{m.strength:.3f}"]
            + [_cell(f) for f in found]
        )
    return out.getvalue()


def _cell(text: str) -> str:
    risky = text.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
    return f"'{text}" if text and risky else text


def as_json(moments: Sequence[Moment], shown: Shown = as_it_is) -> str:
    """An array of the objects that `footage search --json` prints."""
    rows = [m.as_dict() | {"path": shown(m.video.path)} for m in moments]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def as_webvtt(moments: Sequence[Moment]) -> str:
    """Chapters of one video, in the order of time; each cue has a number, a range and a title."""
    lines = ["WEBVTT", ""]
    if moments:
        lines += [f"NOTE {plain(Path(moments[0].video.path).name).replace('-->', '->')}", ""]
    for number, m in enumerate(sorted(moments, key=lambda m: (m.start, m.end)), 1):
        end = max(m.end, m.start + 0.001)
        lines += [str(number), f"{clock(m.start)} --> {clock(end)}", _escape(title_of(m)), ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
