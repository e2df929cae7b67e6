"""The query clip: decoded once, in chunks of bounded size, and seen in several ways (mirrored, trimmed, turned)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.copies.boxes import bars, boxes
from footage.copies.dense import RATE, SIDE
from footage.copies.geometry import MIRROR, PLAIN, TURNS, Warp, into, sample
from footage.errors import UnsupportedMedia
from footage.frames import thumbnail_size
from footage.media import open_video, resize
from footage.media.greys import Greys, grey, scaled_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from footage.copies.geometry import Box
    from footage.encoders import Together
    from footage.places import Place
    from footage.types import Float32, Float64, Frame, UInt8

CHUNK = 60.0  # seconds of a query that are looked at together
PICTURES = 2.0  # a second, of which vectors are made
FULL = 30.0  # grey pictures a second, by which edges are cut
_LEAST_PICTURES = 6  # of a query, however short it is
_SEEN = 192  # pixels of a picture that is seen through a map
_OVERLAP = 4.0  # seconds: a last chunk shorter than this is joined to the one before


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A stretch of a query."""

    start: float
    end: float
    full: Greys  # at up to thirty a second
    greys: Greys  # at ten
    times: Float64  # (p,) of the pictures
    pictures: list[UInt8]  # (h, w, 3) RGB, at most 320 pixels long
    last: bool = True

    def between(self, start: float, end: float) -> Chunk:
        """The part of it at times in [start, end)."""
        low, high = np.searchsorted(self.times, (start, end))
        return Chunk(
            max(start, self.start),
            min(end, self.end),
            self.full.between(start, end),
            self.greys.between(start, end),
            self.times[low:high],
            self.pictures[low:high],
            self.last,
        )


def chunks(path: Place, *, length: float = CHUNK) -> Iterator[Chunk]:
    """Decode a query once, and give it in chunks.

    Raises:
        MediaError: it is not a video that can be decoded.
    """
    with open_video(path) as reader:
        short = reader.info.duration and reader.info.duration * PICTURES < _LEAST_PICTURES
        rate = min(RATE, _LEAST_PICTURES / reader.info.duration) if short else PICTURES
        collector = _Collector(rate)
        limit = length
        for frame in reader.frames():
            # A header may tell no length, or a wrong one: memory must not depend on it.
            more = reader.info.duration - limit > _OVERLAP or frame.time >= limit + _OVERLAP
            if frame.time >= limit and more:
                yield collector.chunk(frame.time, last=False)
                limit = frame.time + length
            collector.take(frame)
        if collector.empty:
            raise UnsupportedMedia(f"no pictures in the clip: {path}", uri=str(path))
        yield collector.chunk(reader.duration, last=True)


class _Collector:
    """Pictures of the chunk at hand."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due_grey = self._due_picture = 0.0
        self._clear()

    def _clear(self) -> None:
        self._greys: list[UInt8] = []
        self._grey_times: list[float] = []
        self._pictures: list[UInt8] = []
        self._times: list[float] = []

    @property
    def empty(self) -> bool:
        return not self._greys

    def take(self, frame: Frame) -> None:
        if frame.time >= self._due_grey - 1e-3:
            picture = grey(frame.picture(*scaled_size(frame.width, frame.height, SIDE)))
            if self._greys and picture.shape != self._greys[0].shape:  # a stream may change its shape
                picture = grey(frame.picture(*self._greys[0].shape[::-1]))
            self._greys.append(picture)
            self._grey_times.append(frame.time)
            self._due_grey = max(self._due_grey + 1 / FULL, frame.time + 0.5 / FULL)
        if frame.time >= self._due_picture - 1e-4:
            self._pictures.append(frame.picture(*thumbnail_size(frame.width, frame.height)))
            self._times.append(frame.time)
            self._due_picture = max(self._due_picture + 1 / self._rate, frame.time + 0.5 / self._rate)

    def chunk(self, end: float, *, last: bool) -> Chunk:
        full = Greys(np.array(self._grey_times), np.stack(self._greys))
        made = Chunk(
            self._grey_times[0],
            end,
            full,
            thinned(full, RATE),
            np.array(self._times),
            self._pictures,
            last,
        )
        self._clear()
        return made


def thinned(pictures: Greys, rate: float) -> Greys:
    """The first picture at or after each tick."""
    chosen: list[int] = []
    due = float(pictures.times[0]) if len(pictures) else 0.0
    for number, time in enumerate(pictures.times.tolist()):
        if time >= due - 1e-3:
            chosen.append(number)
            due = max(due + 1 / rate, time + 0.5 / rate)
    return Greys(pictures.times[chosen], pictures.pictures[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One way to see the pictures of a chunk: upright, the whole of what a video may show."""

    warp: Warp  # places of the video's picture -> places of the query's
    box: Box
    turns: int  # quarters by which the query is turned counter-clockwise
    mirrored: bool
    usual: bool  # of the first ones, which every picture is seen in
    sampled: bool = False  # the map is no box in quarter turns

    def picture(self, picture: UInt8) -> UInt8:
        """The part of a query picture, upright."""
        height, width = picture.shape[:2]
        if self.sampled:
            return _through(self.warp, picture)
        left, top, right, bottom = self.box
        part = picture[
            round(top * height) : max(round(bottom * height), round(top * height) + 2),
            round(left * width) : max(round(right * width), round(left * width) + 2),
        ]
        part = np.rot90(part, self.turns)
        return np.ascontiguousarray(part[:, ::-1] if self.mirrored else part)


def views(chunk: Chunk) -> list[View]:
    """The ways to see a chunk: as it is, without its bars, the boxes in it, mirrored, turned."""
    found = [box for box in (bars(chunk.greys.pictures),) if box is not None]
    for box in boxes(chunk.greys.pictures):
        if all(max(abs(a - b) for a, b in zip(box, other, strict=True)) > 0.03 for other in found):
            found.append(box)
    whole: Box = (0.0, 0.0, 1.0, 1.0)
    trimmed = found[0] if found else whole
    ways = [(box, 0) for box in (whole, *found[:3])] + [(trimmed, turns) for turns in (1, 2, 3)]
    return [
        View(_warp(box, turns, mirrored), box, turns, mirrored, usual=turns == 0)
        for box, turns in ways
        for mirrored in (False, True)
    ]


def _warp(box: Box, turns: int, mirrored: bool) -> Warp:
    turned = TURNS[turns].after(MIRROR if mirrored else PLAIN)
    return into(box).after(turned)


def through(warp: Warp) -> View:
    """The view through a map that was found."""
    return View(warp, (0.0, 0.0, 1.0, 1.0), 0, mirrored=warp.mirrored, usual=True, sampled=True)


def _through(warp: Warp, picture: UInt8) -> UInt8:
    """What a picture shows of a video's, in the shape that the video has; what it does not show is grey."""
    axis = (np.arange(_SEEN) + 0.5) / _SEEN
    x, y = np.meshgrid(axis, axis)
    places = np.column_stack([x.ravel(), y.ravel()])
    there = places @ warp.matrix[:, :2].T + warp.matrix[:, 2]
    channels = sample(np.moveaxis(picture, 2, 0), there, np.eye(2) / _SEEN @ warp.matrix[:, :2].T)
    outside = ((there < 0) | (there > 1)).any(axis=1)
    channels[:, outside] = channels[:, ~outside].mean(axis=1, keepdims=True) if (~outside).any() else 128
    return np.ascontiguousarray(np.moveaxis(channels.reshape(3, _SEEN, _SEEN), 0, 2)).astype(np.uint8)


def encoded(pictures: Sequence[UInt8], encoder: Together) -> dict[str, Float32]:
    """Vectors of some pictures of one shape, in batches."""
    parts: list[dict[str, Float32]] = []
    for first in range(0, len(pictures), 16):
        images = [
            encoder.scaled(p.shape[1], p.shape[0], lambda w, h, p=p: resize(p, w, h))
            for p in pictures[first : first + 16]
        ]
        parts.append(encoder.encode_sizes(images))
    return {space: np.concatenate([part[space] for part in parts]) for space in parts[0]}
