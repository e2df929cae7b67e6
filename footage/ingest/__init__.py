"""Index files: load (decode, sample, scale), encode, write; three steps and how they hang together.

    scan -> jobs -> load (threads) -> pieces -> encode (one thread) -> vectors -> write (the caller's thread)

A piece is a picture, or a run of frames for an encoder of windows. Every queue is bounded, so memory depends neither on
the length nor on the number of files. The unit of commitment is a video: its rows first, its key frames, then its row
in the store. Whatever is killed in between leaves orphans that the next run sweeps away, and that run then does the
video again.
"""

from __future__ import annotations

from footage.ingest.encoding import encode
from footage.ingest.items import Encoded, Idle, Item, Known, Loaded, Lost, Picture, Piece, Run
from footage.ingest.loading import load
from footage.ingest.run import Ground, Here, ingest
from footage.ingest.settings import AtWork, IngestSettings, Progress
from footage.ingest.writer import Writer

__all__ = [
    "AtWork",
    "Encoded",
    "Ground",
    "Here",
    "Idle",
    "IngestSettings",
    "Item",
    "Known",
    "Loaded",
    "Lost",
    "Picture",
    "Piece",
    "Progress",
    "Run",
    "Writer",
    "encode",
    "ingest",
    "load",
]
