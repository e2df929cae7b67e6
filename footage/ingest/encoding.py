"""The second step: pictures and windows become vectors, in batches across the borders of videos."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from footage.ingest.items import Encoded, Picture, Piece, Run
from footage.ingest.settings import Progress
from footage.pipeline import batched

if TYPE_CHECKING:
    from footage.encoders import Together
    from footage.types import Float32

T = TypeVar("T")

_PATIENCE = 2.0  # seconds that an incomplete batch waits for more pieces of its shape


def encode(items: Iterable[T], encoder: Together, batch: int, progress: Progress) -> Iterator[Encoded | T]:
    """Encode pieces in batches of like shapes, across the borders of videos; everything else passes through."""
    for group in batched(items, _shape, size=batch, patience=_PATIENCE):
        pieces = [item for item in group if isinstance(item, (Picture, Run))]
        if not pieces:
            yield from group
        for some in _shares(pieces, batch):
            progress.give_way()
            started = time.monotonic()
            vectors = _vectors(some, encoder)
            progress.encode.seconds += time.monotonic() - started
            yield Encoded(some, vectors)


def _shape(item: object) -> Hashable | None:
    if isinstance(item, Picture):
        return tuple(image.shape for image in item.images)
    return (item.encoder, len(item.images), item.images[0].shape) if isinstance(item, Run) else None


def _shares(pieces: list[Piece], batch: int) -> Iterator[list[Piece]]:
    """A batch is so many pictures: of windows fewer go into one pass."""
    frames = len(pieces[0].images) if pieces and isinstance(pieces[0], Run) else 1
    size = max(1, batch // frames)
    for first in range(0, len(pieces), size):
        yield pieces[first : first + size]


def _vectors(pieces: list[Piece], encoder: Together) -> dict[str, Float32]:
    first, images = pieces[0], [piece.images for piece in pieces]
    return encoder.encode_windows(first.encoder, images) if isinstance(first, Run) else encoder.encode_sizes(images)
