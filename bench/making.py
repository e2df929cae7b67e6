"""Videos that benches make: pictures encoded as H.264, and one clip under many contents."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 25  # pictures a second


def encode(
    target: Path,
    pictures: Iterable[NDArray[np.uint8] | av.VideoFrame],
    *,
    size: tuple[int, int],
    crf: int = 23,
    preset: str = "veryfast",
) -> int:
    """Write pictures, scaled to (width, height), at 25 a second; gives how many there were."""
    count = 0
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": preset})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for picture in pictures:
            frame = picture
            if isinstance(frame, np.ndarray):
                frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
            frame = frame.reformat(*size, "yuv420p")
            frame.pts, frame.time_base = count, Fraction(1, RATE)
            count += 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return count


def copy(source: Path, target: Path, comment: str) -> None:
    """The same pictures in a file of other bytes, hence another video."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        new.metadata["comment"] = comment
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
