"""Where a file can be entered: the key frames that its container lists, without reading what lies between them."""

from __future__ import annotations

from contextlib import closing

import av.error

from footage.media import sniff
from footage.media.opening import open_container, player_zero, video_stream
from footage.places import Place, place

# Only here a seek is known to land where it says; elsewhere the stamps of a file may start anew in the middle.
_INDEXED = frozenset(("mov", "mp4", "matroska", "webm"))


def key_times(path: str | Place) -> list[float]:
    """The times of the key frames in the index of a container, in seconds, ascending, at most some frames off.

    Empty where there is no index. Raises MediaNotFound, UnsupportedMedia or CorruptMedia.
    """
    file = place(path)
    sniff.regular_file(file)
    with closing(open_container(file)) as container:
        stream = video_stream(container, file)
        base = stream.time_base
        if not _INDEXED & set(container.format.name.split(",")) or not base:
            return []
        if len(stream.index_entries) < 2:  # Matroska reads its cues when it is first sought
            try:
                container.seek(stream.start_time or 0, stream=stream)
            except av.error.FFmpegError:
                return []
        zero = player_zero(container, stream) or 0
        return sorted({float((e.timestamp - zero) * base) for e in stream.index_entries if e.is_keyframe})
