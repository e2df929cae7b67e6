"""Pictures of the library's videos at ten a second, decoded around candidates and kept for the next query."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import MediaError, NotIndexed
from footage.frames import decode_jpeg
from footage.media.greys import Greys, grey, greys, scaled_size
from footage.places import is_as_it_was

if TYPE_CHECKING:
    from collections.abc import Iterator

    from footage.frames import FrameStore
    from footage.types import UInt8, Video

RATE = 10.0  # pictures a second: an edge is then known to a tenth before it is refined
SIDE = 160  # pixels of the longer side
_BLOCK = 10.0  # seconds that are kept together; what is missing of a range is decoded at once
_BYTES = 256 << 20  # of decoded pictures that are kept


@dataclass(slots=True, eq=False)
class Dense:
    """Decodes ranges of the library's videos, and remembers them up to a size."""

    frames: FrameStore
    _kept: OrderedDict[tuple[str, int], Greys] = field(default_factory=OrderedDict[tuple[str, int], Greys])
    _pictures: OrderedDict[tuple[str, float], UInt8] = field(default_factory=OrderedDict[tuple[str, float], "UInt8"])
    _bytes: int = 0

    def range(self, video: Video, start: float, end: float) -> Greys | None:
        """Pictures of seconds [start, end); from the key frames where the file is not at hand; None without either."""
        first = max(0, int(start // _BLOCK))
        last = max(first, int(min(end, max(video.duration, 1e-3)) // _BLOCK))
        parts = [part for part in self._blocks(video, first, last) if part is not None]
        if not parts:
            return None
        shapes = {part.pictures.shape[1:] for part in parts}
        parts = parts if len(shapes) == 1 else parts[:1]
        times = np.concatenate([part.times for part in parts])
        return Greys(times, np.concatenate([part.pictures for part in parts])).between(start, end)

    def key_frame(self, video: Video, at: float) -> UInt8 | None:
        """The stored key frame that stands at a time, RGB; None where it is lost."""
        key = (video.id, round(at, 6))
        if key in self._pictures:
            self._pictures.move_to_end(key)
            return self._pictures[key]
        try:
            picture = decode_jpeg(self.frames.read(video.id, at))
        except NotIndexed:
            return None
        self._pictures[key] = picture
        if len(self._pictures) > 512:
            self._pictures.popitem(last=False)
        return picture

    def exact(self, video: Video, start: float, end: float, rate: float) -> Greys | None:
        """Pictures of a short range at another rate; None where the file is not at hand."""
        path = at_hand(video)
        if path is None:
            return None
        try:
            return greys(path, max(0.0, start), end, rate=rate, side=SIDE, duration=video.duration)
        except MediaError:
            return None

    def _blocks(self, video: Video, first: int, last: int) -> list[Greys | None]:
        out: dict[int, Greys | None] = {}
        for number in range(first, last + 1):
            if (video.id, number) in self._kept:
                self._kept.move_to_end((video.id, number))
                out[number] = self._kept[video.id, number]
        missing = [number for number in range(first, last + 1) if number not in out]
        for start, stop in _runs(missing):
            whole = self.exact(video, start * _BLOCK, stop * _BLOCK, RATE) if stop - start > 1 else None
            for number in range(start, stop):
                bounds = number * _BLOCK, (number + 1) * _BLOCK
                made = whole.between(*bounds) if whole is not None else None
                if made is None or not len(made):  # the first one, or what lies behind damage
                    made = self.exact(video, *bounds, RATE) or self._from_key_frames(video, *bounds)
                else:  # a view would keep the whole
                    made = Greys(made.times.copy(), made.pictures.copy())
                out[number] = made
                self._keep((video.id, number), made)
        return [out[number] for number in range(first, last + 1)]

    def _keep(self, key: tuple[str, int], made: Greys | None) -> None:
        if made is None:
            return
        self._kept[key] = made
        self._bytes += made.pictures.nbytes
        while self._bytes > _BYTES and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.pictures.nbytes

    def _from_key_frames(self, video: Video, start: float, end: float) -> Greys | None:
        from footage.media import resize

        size = scaled_size(video.width, video.height, SIDE)
        try:
            times = [at for at in self.frames.times(video.id) if start <= at < end]
            pictures = [grey(resize(decode_jpeg(data), *size)) for data in self.frames.read_some(video.id, times)]
        except NotIndexed:
            return None
        return Greys(np.array(times), np.stack(pictures)) if times else None


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring numbers as ranges [first, behind the last)."""
    for _, group in groupby(enumerate(numbers), key=lambda each: each[1] - each[0]):
        row = [number for _, number in group]
        yield row[0], row[-1] + 1


def at_hand(video: Video) -> str | None:
    """The path of the first of a video's files that is still what was indexed."""
    for known in video.files:
        if is_as_it_was(known):
            return known.path
    return None
