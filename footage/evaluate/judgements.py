"""What a user said of answers, thumbs up or down: one line each in `judgements.jsonl` of the library."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from footage.errors import QueryError, StoreError

_FILE = "judgements.jsonl"
_MOST_BYTES = 50_000_000  # some 200,000 judgements; nobody gives more, but a program may
_LONGEST = 2000  # characters of the words


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on one answer to one query. It stays on this machine, like the library."""

    kind: Literal["text", "image"]
    query: str  # the words; for an image the id of the video whose frame it is
    at: float  # of an image: the time of that frame; else 0
    video: str  # id of the video that was the answer
    start: float
    end: float
    good: bool
    when: float = 0.0  # unix time

    def as_dict(self) -> dict[str, Any]:
        """One line of the file."""
        return asdict(self)

    @property
    def asked(self) -> tuple[str, str, float]:
        """What tells queries apart."""
        return self.kind, self.query, self.at


def checked(judgement: Judgement) -> Judgement:
    """The judgement with its time.

    Raises QueryError: no query, or no range.
    """
    if not judgement.query.strip() or len(judgement.query) > _LONGEST:
        raise QueryError(f"a judgement needs a query of 1 to {_LONGEST} characters")
    if not (0 <= judgement.start < judgement.end < math.inf and 0 <= judgement.at < math.inf):
        raise QueryError(
            f"not a range: {judgement.start:g} to {judgement.end:g} s",
            hint="it must start at 0 or later, before its end",
        )
    return replace(judgement, when=judgement.when or round(time.time(), 3))


def add(library: Path, judgement: Judgement) -> None:
    """Append a judgement to those of the library in this directory.

    Raises:
        QueryError: there are too many already.
        StoreError: the file cannot be written.
    """
    file = library / _FILE
    try:
        if file.exists() and file.stat().st_size > _MOST_BYTES:
            raise QueryError(f"there are too many judgements: {file}", hint="delete the file, or a part of it")
        line = json.dumps(judgement.as_dict(), ensure_ascii=False) + "\n"
        with file.open("ab") as out:
            out.write(line.encode("utf-8"))  # in one piece, so that two processes do not mix their lines
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror or error}") from None


def read(library: Path) -> list[Judgement]:
    """All judgements, the oldest first; who changed their mind is heard once. A line cut short by a crash is skipped.

    Raises StoreError: the file cannot be read.
    """
    file = library / _FILE
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror or error}") from None
    return list(_last(j for line in lines if (j := _parsed(line)) is not None))


def _parsed(line: str) -> Judgement | None:
    known = Judgement.__dataclass_fields__
    try:
        values: dict[str, Any] = json.loads(line)
        found = Judgement(**{name: value for name, value in values.items() if name in known})
        return checked(found) if found.kind in ("text", "image") else None
    except (ValueError, TypeError, AttributeError, QueryError):
        return None


def _last(given: Iterable[Judgement]) -> Iterable[Judgement]:
    latest: dict[tuple[Any, ...], Judgement] = {}
    for one in given:
        latest.pop(key := (*one.asked, one.video, one.start, one.end), None)
        latest[key] = one
    return latest.values()
