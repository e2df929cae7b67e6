"""What samples show without black bars around them, as a broadcast puts them around what has another shape.

Where edges lie says nothing of one picture with bars and the same without. The bars of a query are seen by its
pictures; of the library's samples there are small key frames, of which only those are looked at whose vectors leave
room for bars: reading all of a large library would take longer than comparing it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from footage.copies.boxes import bars
from footage.copies.geometry import PLAIN, into
from footage.encoders import LAYOUT
from footage.encoders.layout import Layout, empty_edges
from footage.errors import NotIndexed
from footage.frames import decode_jpeg
from footage.media import resize
from footage.media.greys import grey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from footage.copies.geometry import Box, Warp
    from footage.frames import FrameStore
    from footage.types import Embeddings, Float32, Float64, UInt8

_EVEN = 0.02  # of a side, by which two bars of a picture may differ: a dark edge of a scene is on one side
_FLAT = (2.5, 7.0)  # grey levels of spread of a bar: as it should be, and as it may be
_KEPT = 32  # videos
_BATCH = 64  # pictures


@dataclass(frozen=True, slots=True, eq=False)
class Trimmed:
    """The samples of one video that have bars."""

    place: NDArray[np.intp]  # (n,) number of the sample
    vectors: Float32  # (n, dim) without the bars
    boxes: Float64  # (n, 4) what is left of the picture

    def rows(self, rows: Float32) -> Float32:
        """All vectors of the video, without bars where there are some."""
        out = rows.copy()
        out[self.place] = self.vectors
        return out

    def has(self, numbers: NDArray[np.int64]) -> bool:
        """Whether any of these samples has bars."""
        return bool(np.isin(numbers, self.place).any())

    def warp(self, first: int, last: int) -> Warp:
        """The map of a whole picture into what is left of those of samples [first, last), most of which agree."""
        inside = (self.place >= first) & (self.place < last)
        if 2 * int(inside.sum()) <= last - first:
            return PLAIN
        left, top, right, bottom = np.median(self.boxes[inside], axis=0).tolist()
        return into((left, top, right, bottom))


@dataclass(slots=True, eq=False)
class Trimmer:
    """Looks for bars in the key frames of videos, and remembers some videos."""

    frames: FrameStore | None
    _encoder: Layout = field(default_factory=Layout)
    _kept: OrderedDict[str, Trimmed | None] = field(default_factory=OrderedDict[str, "Trimmed | None"])

    def of(self, rows: Embeddings) -> Trimmed | None:
        """The samples of a video that have bars; None: none has, the space cannot tell, or the key frames are lost."""
        if self.frames is None or rows.space != LAYOUT.spaces[0].name:
            return None
        if rows.video_id in self._kept:
            self._kept.move_to_end(rows.video_id)
            return self._kept[rows.video_id]
        made = self._kept[rows.video_id] = self._made(rows, self.frames)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made

    def _made(self, rows: Embeddings, frames: FrameStore) -> Trimmed | None:
        place: list[int] = []
        parts: list[UInt8] = []
        boxes: list[Box] = []
        for number, picture in self._pictures(rows, np.flatnonzero(empty_edges(rows.vectors)), frames):
            box = _bars(grey(picture))
            if box is None:
                continue
            height, width = picture.shape[:2]
            left, top, right, bottom = (round(v * s) for v, s in zip(box, (width, height, width, height), strict=True))
            part = picture[top:bottom, left:right]
            place.append(number)
            parts.append(resize(np.ascontiguousarray(part), *self._encoder.input_size(right - left, bottom - top)))
            boxes.append(box)
        if not place:
            return None
        batches = (np.stack(parts[first : first + _BATCH]) for first in range(0, len(parts), _BATCH))
        vectors = [self._encoder.encode_images(batch)[rows.space] for batch in batches]
        return Trimmed(np.array(place, np.intp), np.concatenate(vectors), np.array(boxes))

    @staticmethod
    def _pictures(rows: Embeddings, numbers: NDArray[np.intp], frames: FrameStore) -> Iterator[tuple[int, UInt8]]:
        """The key frames of some samples, as far as there are any."""
        try:
            for number, data in zip(
                numbers.tolist(), frames.read_some(rows.video_id, rows.at[numbers].tolist()), strict=True
            ):
                yield number, decode_jpeg(data)
        except (NotIndexed, BadZipFile, OSError):
            return


def _bars(picture: UInt8) -> Box | None:
    """What is between the bars of one picture: a wall beside them may be as flat as bars of a poor recording are."""
    for flat in _FLAT:
        box = bars(picture[None], flat)
        if box is not None and abs(box[0] - (1 - box[2])) < _EVEN and abs(box[1] - (1 - box[3])) < _EVEN:
            return box
    return None
