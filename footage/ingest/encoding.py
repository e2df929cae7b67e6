"""The second step: pictures become vectors, in batches across the borders of videos."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from footage.ingest.items import Encoded, Item, Picture
from footage.ingest.settings import Progress
from footage.pipeline import batched

if TYPE_CHECKING:
    from footage.encoders import Encoder

_PATIENCE = 2.0  # seconds that an incomplete batch waits for more pictures of its shape


def encode(items: Iterable[Item], encoder: Encoder, batch: int, progress: Progress) -> Iterator[Encoded | Item]:
    """Encode pictures in batches of one shape, across the borders of videos; everything else passes through."""

    def shape(item: Item) -> tuple[int, ...] | None:
        return item.image.shape if isinstance(item, Picture) else None

    import numpy as np

    for group in batched(items, shape, size=batch, patience=_PATIENCE):
        pictures = [item for item in group if isinstance(item, Picture)]
        if not pictures:
            yield from group
            continue
        progress.give_way()
        started = time.monotonic()
        vectors = encoder.encode_images(np.stack([p.image for p in pictures]))
        progress.encode.seconds += time.monotonic() - started
        yield Encoded(pictures, vectors)
