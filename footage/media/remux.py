"""A fast clip: packets copied as they are, from a key frame on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av

from footage.errors import QueryError
from footage.media.opening import open_container, packets, video_stream
from footage.media.source import Clip, Source

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_KEYS = 0.001  # seconds; a time of a search is rounded to a thousandth
_SECOND = 1.0


def copy_clip(source: Source, target: Path, muxer: str, start: float, end: float) -> Clip:
    """Copy seconds [start, end) to `target`, beginning with the key frame at or before `start`.

    Raises QueryError; libav's own errors pass through.
    """
    for margin in (0.0, 5.0, 30.0, 120.0, start):
        with closing(_open_for_copy(source)) as container:
            stream = video_stream(container, source.path)
            if start - margin > 0:
                container.seek(source.stamp(start - margin), stream=stream)
            run = _Copying(source, container, stream, start, end)
            if run.find_key() or margin >= start:
                return run.write(target, muxer)
    raise AssertionError("unreachable: the last margin reaches the start of the file")


def _open_for_copy(source: Source) -> InputContainer:
    container = open_container(source.path)
    container.flags |= 1  # AVFMT_FLAG_GENPTS: a muxer needs stamps, where a decoder can do without
    return container


class _Copying:
    """One clip of copied packets."""

    def __init__(
        self, source: Source, container: InputContainer, stream: VideoStream, start: float, end: float
    ) -> None:
        self._source, self._start, self._end = source, start, end
        self._video = stream
        sounds = [s for s in container.streams.audio if cast("Any", s.codec_context) is not None]
        self._streams: list[Any] = [stream, *sounds]
        self._packets = packets(container, self._streams)
        self._held: list[Any] = []  # from the key frame on
        self._sounds: list[Any] = []  # of the same time
        self._key = 0.0
        self._ahead: list[Any] = []

    def find_key(self) -> bool:
        """Read on to the last key frame at or before the start; False where the first one seen comes later."""
        found = False
        for packet in self._packets:
            if packet.pts is None and packet.dts is None and not packet.size:
                break  # the end; an empty packet with a stamp is Theora's word for no change
            if packet.stream is not self._video:
                self._sounds.append(packet)
                continue
            time = self._time(packet)
            if found and self._time(packet, "dts") > self._start + _KEYS:
                self._ahead = [packet]
                break
            if packet.is_keyframe and (time <= self._start + _KEYS or not found):
                if time > self._start + _KEYS and time > self._source.info.first + _KEYS:
                    return False
                found, self._key = True, time
                self._held = []
                self._sounds = [s for s in self._sounds if self._time(s) >= time - _SECOND]
            if found:
                self._held.append(packet)
        return found

    def write(self, target: Path, muxer: str) -> Clip:
        info = self._source.info
        if not self._held or self._key >= self._end or self._start >= self._until():
            raise QueryError(f"nothing between {self._start:.3f} and {self._end:.3f} s: {self._source.path}")
        with av.open(f"file:{target}", "w", format=muxer) as container:
            out: Any = container
            ways = {s.index: out.add_stream_from_template(s, opaque=True) for s in self._streams}
            if self._source.turn != type(self._source.turn)():
                _keep_turn(self._source, ways[self._video.index])
            if info.has_timecode:
                ways[self._video.index].metadata["timecode"] = info.timecode_of(info.frame_at(self._key))
            until = self._key
            for packet in self._wanted():
                until = max(until, self._time(packet) + float((packet.duration or 0) * packet.time_base))
                shift = round(Fraction(self._source.zero_seconds + self._key) / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
                packet.stream = ways[packet.stream.index]
                out.mux_one(packet)
        return Clip(target, self._key, until, 0)

    def _until(self) -> float:
        """The end of what was read ahead."""
        return max(self._time(p) + float((p.duration or 1) * p.time_base) for p in [*self._held, *self._ahead])

    def _wanted(self) -> Iterator[Any]:
        """Packets of the range in the order of the file."""
        _fill([*self._held, *self._ahead])
        early = merge(self._held, self._sounds, key=lambda p: self._time(p, "dts"))
        done: set[int] = set()
        for packet in chain(early, self._ahead, self._packets):
            if not packet.size:
                continue
            index = packet.stream.index
            if self._time(packet, "dts") >= self._end:
                done.add(index)
                if len(done) == len(self._streams) or (
                    index == self._video.index and self._time(packet, "dts") > self._end + 10 * _SECOND
                ):
                    return
            # Pictures that come after a key frame and are shown before it refer to what is not in the clip.
            elif index not in done and self._time(packet) >= self._key - 1e-6:
                yield packet

    def _time(self, packet: Any, which: str = "pts") -> float:
        other = "dts" if which == "pts" else "pts"
        stamp = getattr(packet, which)
        stamp = getattr(packet, other) if stamp is None else stamp
        return float(stamp * packet.time_base) - self._source.zero_seconds if stamp is not None else 0.0


def _fill(video: list[Any]) -> None:
    """Give decoding stamps to the first packets after a seek, which Matroska leaves without, counting back."""
    due: int | None = None
    for packet in reversed(video):
        if packet.dts is None and due is not None:
            packet.dts = due - max(packet.duration or 0, 1)
        due = packet.dts


def _keep_turn(source: Source, stream: Any) -> None:
    """Write the display matrix of the source: a transposition and two mirrorings make every quarter turn."""
    turn = source.turn
    across, down = (-1 if turn.mirror_x else 1) << 16, (-1 if turn.mirror_y else 1) << 16
    matrix_ = (0, down, 0, across, 0, 0) if turn.transpose else (across, 0, 0, 0, down, 0)
    stream.set_display_matrix((*matrix_, 0, 0, 1 << 30))
