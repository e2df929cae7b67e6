"""Repeated material: black starts, test cards, intros; it is common to many videos, and makes none a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from footage.copies.dense import Dense
    from footage.copies.queries import Chunk
    from footage.copies.verify import Found


def without_shared(found: Sequence[Found], _chunk: Chunk, _dense: Dense) -> list[Found]:
    """Leave out what many videos have in common."""
    return list(found)
