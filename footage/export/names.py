"""Names for files that every system accepts, and words for a moment."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from footage.types import Moment

Shown: TypeAlias = Callable[[str], str]
"""What a file is called in a list, from its path: a server does not tell everyone where things lie on it."""
_FORBIDDEN = frozenset('<>:"/\\|?*')
_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10)))
)
_LONGEST = 150  # bytes of UTF-8; with the time and a suffix it stays below the 255 of most file systems


def as_it_is(path: str) -> str:
    """The whole path: for who may know it."""
    return path


def plain(text: str) -> str:
    """One line without control characters, which no list format can carry."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def safe_name(text: str) -> str:
    """A file name without what Windows, macOS or a shell would stumble over; never empty."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(c if c.isprintable() and c not in _FORBIDDEN else "_" for c in text).strip(" .")
    text = text.encode()[:_LONGEST].decode(errors="ignore").rstrip(" .")
    if not text or text.startswith("-") or text.split(".")[0].rstrip().lower() in _DEVICES:
        text = f"_{text}"
    return text


def clip_name(moment: Moment, suffix: str, single: bool) -> str:
    """Name of the video, and the range (of a picture: the time), as in `talk_00-01-23.480_00-01-31.000.mp4`."""
    return timed_name(moment.video.path, [moment.at] if single else [moment.start, moment.end], suffix)


def timed_name(path: str, times: Sequence[float], suffix: str) -> str:
    """Name of a file, and of the times that are taken from it."""
    label = "_".join(clock(t).replace(":", "-") for t in times)
    return f"{safe_name(Path(path).stem)}_{label}{suffix}"


def unique(files: Sequence[Path]) -> list[Path]:
    """The same paths, with ` (2)` and so on where two are one to a file system that ignores case."""
    seen: set[str] = set()
    out: list[Path] = []
    for file in files:
        name, number = file, 1
        while str(name).casefold() in seen:
            number += 1
            name = file.with_name(f"{file.stem} ({number}){file.suffix}")
        seen.add(str(name).casefold())
        out.append(name)
    return out


def clock(seconds: float) -> str:
    """`hh:mm:ss.mmm`."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def title_of(moment: Moment) -> str:
    """What the moment was found by: the words, or the names of pictures and clips; else name and time."""
    found = dict.fromkeys(plain(e.query) for e in moment.evidence if e.channel != "not" and e.query.strip())
    return ", ".join(found) or f"{plain(Path(moment.video.path).name)} {clock(moment.start)}"
