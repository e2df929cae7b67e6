"""The table of videos in a Lance store: one row a video, which is its commit mark."""

from __future__ import annotations

from typing import Any

import numpy as np

from footage.stores.lance_table import Rows, pa
from footage.types import MediaFile, Video

_FILES = pa.list_(pa.struct([("path", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())]))
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("files", _FILES),
        ("duration", pa.float64()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("fps", pa.float64()),
        ("codec", pa.string()),
        ("container", pa.string()),
        ("recorded_at", pa.float64()),
        ("samples", pa.int64()),
        ("sampling", pa.string()),
        ("has_audio", pa.bool_()),
        ("broken_at", pa.float64()),
        ("warning", pa.string()),
        ("indexed_at", pa.float64()),
    ]
)


def row_of(video: Video) -> dict[str, Any]:
    """A video as its row."""
    files = [{"path": f.path, "size_bytes": f.size_bytes, "mtime_ns": f.mtime_ns} for f in video.files]
    return {name: getattr(video, name) for name in SCHEMA.names} | {"files": files}


def videos_of(table: Rows) -> list[Video]:
    """Rows as videos."""
    # column by column: Arrow's own rows of nested dicts take five times as long, seconds at 10,000 videos
    columns: dict[str, list[Any]] = {n: table[n].to_pylist() for n in SCHEMA.names if n != "files"}
    lists = table["files"].combine_chunks()
    flat = lists.flatten()
    parts = [flat.field(name).to_pylist() for name in ("path", "size_bytes", "mtime_ns")]
    files = [MediaFile(*each) for each in zip(*parts, strict=True)]
    ends = np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False)).tolist()
    found: list[Video] = []
    for first, last, values in zip([0, *ends], ends, zip(*columns.values(), strict=True), strict=False):
        found.append(Video(files=tuple(files[first:last]), **dict(zip(columns, values, strict=True))))
    return found
