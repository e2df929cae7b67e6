"""The second step: pictures become vectors, in batches across the borders of videos."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from footage.ingest.items import Encoded, Item, Picture
from footage.ingest.settings import Progress
from footage.pipeline import batched

if TYPE_CHECKING:
    from footage.encoders import Together

_PATIENCE = 2.0  # seconds that an incomplete batch waits for more pictures of its shape


def encode(items: Iterable[Item], encoder: Together, batch: int, progress: Progress) -> Iterator[Encoded | Item]:
    """Encode pictures in batches of like shapes, across the borders of videos; everything else passes through."""

    def shape(item: Item) -> tuple[tuple[int, ...], ...] | None:
        return tuple(image.shape for image in item.images) if isinstance(item, Picture) else None

    for group in batched(items, shape, size=batch, patience=_PATIENCE):
        pictures = [item for item in group if isinstance(item, Picture)]
        if not pictures:
            yield from group
            continue
        progress.give_way()
        started = time.monotonic()
        vectors = encoder.encode_sizes([p.images for p in pictures])
        progress.encode.seconds += time.monotonic() - started
        yield Encoded(pictures, vectors)
