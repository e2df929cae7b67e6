"""Fingerprints of sound: which seconds of one file are heard in which seconds of another.

Landmarks after Wang, "An Industrial-Strength Audio Search Algorithm" (ISMIR 2003): pairs of neighbouring peaks of the
spectrogram, each pair a number, so that equal sound gives equal numbers at one offset. They hold under re-encoding,
noise and speech over music; not under a change of speed or pitch of more than about one per cent. No library does this
without a program or a native library to be installed beside it, so the code is ours.

    landmarks(blocks)  -> Landmarks         one file
    SoundIndex.heard   -> list[Heard]       which videos are heard in a query, and when

The fingerprint of a video lies in its archive, beside the key frames (frames.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import NotIndexed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import Float32

ENTRY = "sound.u4"  # in the archive of a video
RATE = 8000  # samples per second that `landmarks` wants
HOP = 256  # samples between two columns of the spectrogram
STEP = HOP / RATE  # seconds
_WINDOW = 1024  # samples: 128 ms, bins of 7.8 Hz
_BINS = 400  # up to 3.1 kHz: what telephones and low bit rates keep
_LOWEST = 8  # bins below are hum
_NEAR_TIME, _NEAR_BINS = 10, 14  # a peak is the largest in so many columns and bins to each side: some 8 a second
_FLOOR = 1e-3  # magnitude (of a full-scale tone: 256) below which nothing is heard
_CHUNK = 2048  # columns that are held at a time, about a minute
_FAN = 4  # pairs that a peak begins
_FIRST, _LAST = 2, 63  # columns between the two peaks of a pair
_REACH = 63  # bins between them
_VIDEO_BITS, _FRAME_BITS = 18, 24  # of an index entry; above them 22 bits of the pair
_NO_TIME = 1 << _FRAME_BITS  # columns: 149 hours
_MOST_VIDEOS = 1 << _VIDEO_BITS  # more than these are not listened to

_COMMON = 0.2  # occurrences of a pair in the library, for each of its videos, above which it tells nothing
_FEW = 50  # that are always looked at
_MOST = 2000  # that are looked at at most
_GAP = 3.0  # seconds without a common landmark that do not end a range
_VOTES = 8  # landmarks at one offset that are worth a look
# Notes of one scale on one beat agree by accident, for a second or two: what is equal must be so again and again.
_MOMENTS = 7  # different columns in which landmarks agree
_SPAN = 1.0  # seconds from the first to the last
_SHARE = 0.08  # of the landmarks of the range


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """The pairs of one file, by time."""

    pairs: NDArray[np.uint32]  # (n,) two frequencies and their distance in time, 22 bits
    frames: NDArray[np.uint32]  # (n,) column of the first peak, ascending; times STEP gives seconds

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, slots=True)
class Heard:
    """A range of a query that is heard in a range of a video, in seconds."""

    video_id: str
    query_start: float
    query_end: float
    start: float
    end: float
    votes: int  # columns with landmarks in common
    share: float  # of the query's landmarks in this range, 0..1


def landmarks(blocks: Iterable[Float32]) -> Landmarks:
    """Take the fingerprint of mono sound float32 (n,) at 8000 samples a second; memory does not grow with its length.

    Silence has none.
    """
    found = [_peaks(chunk, first, last) for chunk, first, last in _chunks(_columns(blocks))]
    if not found:
        return Landmarks(np.empty(0, np.uint32), np.empty(0, np.uint32))
    frames, bins = (np.concatenate(part) for part in zip(*found, strict=True))
    return _paired(frames, bins)


def _columns(blocks: Iterable[Float32]) -> Iterator[Float32]:
    """Magnitudes float32 (columns, bins), some at a time."""
    window = np.hanning(_WINDOW).astype(np.float32)
    rest = np.zeros(0, np.float32)
    enough = HOP * 256
    waiting: list[Float32] = []
    size = 0

    def spectrum(signal: Float32) -> Float32:
        frames = np.lib.stride_tricks.sliding_window_view(signal, _WINDOW)[::HOP]
        return np.abs(np.fft.rfft(frames * window, axis=1)[:, :_BINS]).astype(np.float32)

    for block in blocks:
        waiting.append(block)
        size += len(block)
        if size < enough:
            continue
        signal = np.concatenate((rest, *waiting))
        waiting, size = [], 0
        count = max(0, (len(signal) - _WINDOW) // HOP + 1)
        if count:
            yield spectrum(signal[: (count - 1) * HOP + _WINDOW])
        rest = signal[count * HOP :]
    signal = np.concatenate((rest, *waiting))
    if len(signal) >= _WINDOW:
        yield spectrum(signal)


def _chunks(columns: Iterable[Float32]) -> Iterator[tuple[Float32, int, int]]:
    """(magnitudes, number of the first column, columns before it that only belong to the neighbourhood).

    Each chunk overlaps the next by the neighbourhood of a peak to both sides, so that no peak depends on the borders.
    """
    held: list[Float32] = []
    size, at, lead = 0, 0, 0
    for part in columns:
        held.append(part)
        size += len(part)
        if size - lead < _CHUNK + _NEAR_TIME:
            continue
        whole = np.concatenate(held)
        yield whole, at, lead
        keep = 2 * _NEAR_TIME
        at += len(whole) - keep
        held, size, lead = [whole[-keep:]], keep, _NEAR_TIME
    if size > lead:
        yield np.concatenate([*held, np.zeros((_NEAR_TIME, _BINS), np.float32)]), at, lead


def _peaks(chunk: Float32, at: int, lead: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(columns, bins) of the peaks of a chunk, without the neighbourhoods at its ends."""
    level = np.log(np.maximum(chunk[:, _LOWEST:], _FLOOR))
    highest = _highest(_highest(level, _NEAR_TIME, 0), _NEAR_BINS, 1)
    quiet = level.mean(axis=1, keepdims=True) + 1.0  # a peak stands out of its column by more than 8 dB
    inner = slice(lead, len(chunk) - _NEAR_TIME)
    frames, bins = np.nonzero(((level >= highest) & (level > quiet) & (level > np.log(_FLOOR) + 1.0))[inner])
    return frames + at + lead, bins + _LOWEST


def _highest(values: Float32, near: int, axis: int) -> Float32:
    """The largest value within `near` places to each side (van Herk's way in two passes by doubling)."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (near, near)
    out = np.pad(values, pad, constant_values=-np.inf)
    width, done = 2 * near + 1, 1
    length = values.shape[axis]

    def cut(array: Float32, begin: int, count: int) -> Float32:
        return array[begin : begin + count] if axis == 0 else array[:, begin : begin + count]

    while done < width:
        shift = min(done, width - done)
        out = np.maximum(cut(out, 0, out.shape[axis] - shift), cut(out, shift, out.shape[axis] - shift))
        done += shift
    return cut(out, 0, length)


def _paired(frames: NDArray[np.int64], bins: NDArray[np.int64]) -> Landmarks:
    """Pair each peak with the next ones that lie within reach."""
    order = np.lexsort((bins, frames))
    frames, bins = frames[order], bins[order]
    taken = np.zeros(len(frames), np.int64)
    pairs: list[NDArray[np.uint32]] = []
    firsts: list[NDArray[np.uint32]] = []
    for step in range(1, 64):  # in order of distance; peaks are sparse, so 64 neighbours span more than two seconds
        if step >= len(frames):
            break
        later, higher = frames[step:] - frames[:-step], bins[step:] - bins[:-step]
        fits = (later >= _FIRST) & (later <= _LAST) & (abs(higher) <= _REACH) & (taken[:-step] < _FAN)
        where = np.nonzero(fits)[0]
        taken[where] += 1
        code = (bins[where] << 13) | ((higher[where] + 64) << 6) | later[where]
        pairs.append(code.astype(np.uint32))
        firsts.append(frames[where].astype(np.uint32))
    if not pairs:
        return Landmarks(np.empty(0, np.uint32), np.empty(0, np.uint32))
    code, first = np.concatenate(pairs), np.concatenate(firsts)
    order = np.argsort(first, kind="stable")
    return Landmarks(code[order], first[order])


def packed(found: Landmarks) -> bytes:
    """A fingerprint as bytes, as it lies in the archive of its video."""
    return np.stack([found.pairs, found.frames]).astype("<u4").tobytes()


def unpacked(data: bytes) -> Landmarks:
    """What `packed` made.

    Raises:
        ValueError: it is cut short.
    """
    pairs, frames = np.frombuffer(data, "<u4").reshape(2, -1)
    return Landmarks(pairs, frames)


class SoundIndex:
    """All landmarks of a library, sorted, in one file that is mapped into memory and kept up to date."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries_file = root / "sounds.npy"
        self._videos_file = root / "sounds.json"
        self._videos: list[str] = []  # by number; '' where one was removed
        self._entries: NDArray[np.uint64] = np.empty(0, np.uint64)

    def open(
        self, videos: Collection[str], read: Callable[[str], Landmarks | None], *, keep: bool = False
    ) -> SoundIndex:
        """Bring it up to date with the videos that have sound; those that it does not know yet are read.

        Only whoever holds the library's lock may `keep` it on disk.
        """
        self._load()
        there = set(videos)
        known = set(self._videos) - {""}
        gone, fresh = known - there, sorted(there - known)
        if len(self._videos) + len(fresh) > _MOST_VIDEOS:
            self._videos, self._entries, fresh = [], np.empty(0, np.uint64), sorted(there)[:_MOST_VIDEOS]
        elif gone:
            if keep:  # else they stay until then: nobody is told of what has no name
                numbers = np.array([n for n, v in enumerate(self._videos) if v in gone], np.uint64)
                self._entries = self._entries[~np.isin(_video_of(self._entries), numbers)]
            self._videos = ["" if v in gone else v for v in self._videos]
        if fresh:
            new = np.sort(np.concatenate([self._read(video_id, read) for video_id in fresh]))
            # Two sorted runs: the stable sort merges them.
            self._entries = np.sort(np.concatenate((self._entries, new)), kind="stable")
        if keep and (gone or fresh):
            self._save()
        return self

    def _read(self, video_id: str, read: Callable[[str], Landmarks | None]) -> NDArray[np.uint64]:
        number = len(self._videos)
        self._videos.append(video_id)
        try:
            found = read(video_id)
        except (NotIndexed, ValueError):  # removed just now, or broken; the doctor tells
            found = None
        return _entries(found, number) if found is not None else np.empty(0, np.uint64)

    def _load(self) -> None:
        try:
            told = json.loads(self._videos_file.read_text(encoding="utf-8"))
            entries = np.load(self._entries_file, mmap_mode="r", allow_pickle=False)
            if told["entries"] == len(entries) and entries.dtype == np.uint64:  # both files are of one writing
                self._videos, self._entries = list(told["videos"]), entries
        except (OSError, ValueError, KeyError, TypeError, EOFError):  # it is made anew from the archives
            self._videos, self._entries = [], np.empty(0, np.uint64)

    def _save(self) -> None:
        self._videos_file.unlink(missing_ok=True)  # first, so that it never stands beside entries of another writing
        partial = self._entries_file.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, self._entries)
        os.replace(partial, self._entries_file)  # noqa: PTH105
        partial.write_text(json.dumps({"entries": len(self._entries), "videos": self._videos}), encoding="utf-8")
        os.replace(partial, self._videos_file)  # noqa: PTH105

    def heard(self, query: Landmarks, *, without: Collection[str] = ()) -> list[Heard]:
        """The ranges of the library's videos that are heard in a query, most landmarks in common first."""
        if not len(query) or not len(self._entries):
            return []
        which, entries = self._hits(query)
        if not len(which):
            return []
        videos = _video_of(entries)
        offsets = (entries & np.uint64(_NO_TIME - 1)).astype(np.int64) - query.frames[which].astype(np.int64)
        out: list[Heard] = []
        for number, at in _peaks_of_votes(videos, offsets):
            if self._videos[number] in without or not self._videos[number]:
                continue
            same = (videos == number) & (abs(offsets - at) <= 1)
            out += _ranges(self._videos[number], query, which[same], at)
        return _best(out)

    def _hits(self, query: Landmarks) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """(row of the query, entry) for each occurrence of its pairs; the distance of two peaks may be one off."""
        rows = np.arange(len(query))
        wanted = query.pairs.astype(np.int64)
        near = np.concatenate((wanted, wanted - 1, wanted + 1))
        rows = np.tile(rows, 3)
        shift = np.uint64(_VIDEO_BITS + _FRAME_BITS)
        low = np.searchsorted(self._entries, near.astype(np.uint64) << shift)
        high = np.searchsorted(self._entries, (near + 1).astype(np.uint64) << shift)
        count = high - low
        # What is common to many videos, a jingle or a test tone, tells none of them from the others.
        limit = min(_MOST, max(_FEW, int(_COMMON * len(self._videos))))
        telling = (count > 0) & (np.bincount(rows, count)[rows] <= limit)
        low, count, rows = low[telling], count[telling], rows[telling]
        ends = np.cumsum(count)
        places = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - count, count) + np.repeat(low, count)
        return np.repeat(rows, count), np.asarray(self._entries[places])


def _entries(found: Landmarks, number: int) -> NDArray[np.uint64]:
    frames = found.frames.astype(np.uint64) & np.uint64(_NO_TIME - 1)
    head = found.pairs.astype(np.uint64) << np.uint64(_VIDEO_BITS + _FRAME_BITS)
    return head | (np.uint64(number) << np.uint64(_FRAME_BITS)) | frames


def _video_of(entries: NDArray[np.uint64]) -> NDArray[np.int64]:
    return ((entries >> np.uint64(_FRAME_BITS)) & np.uint64((1 << _VIDEO_BITS) - 1)).astype(np.int64)


def _peaks_of_votes(videos: NDArray[np.int64], offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(video, offset) with enough landmarks within a column to each side, the most first."""
    base = int(offsets.min())
    keys, votes = np.unique(videos * (1 << 26) + (offsets - base) + 1, return_counts=True)
    total = votes.astype(np.int64)
    for near in (-1, 1):
        place = np.searchsorted(keys, keys + near)
        there = (place < len(keys)) & (keys[np.minimum(place, len(keys) - 1)] == keys + near)
        total = total + np.where(there, votes[np.minimum(place, len(keys) - 1)], 0)
    best = np.argsort(-total, kind="stable")
    best = best[total[best] >= _VOTES]
    out: list[tuple[int, int]] = []
    seen: set[tuple[int, int]] = set()
    for key in keys[best].tolist():
        number, at = key >> 26, (key & ((1 << 26) - 1)) - 1 + base
        if not any((number, at + near) in seen for near in (-2, -1, 0, 1, 2)):
            seen.add((number, at))
            out.append((number, at))
    return out


def _ranges(video_id: str, query: Landmarks, rows: NDArray[np.int64], offset: int) -> Iterator[Heard]:
    """Split what lies at one offset where nothing is in common for a while."""
    rows = np.unique(rows)
    times = query.frames[rows].astype(np.int64)
    for part in np.split(np.arange(len(rows)), np.nonzero(np.diff(times) > _GAP / STEP)[0] + 1):
        first, last = int(times[part[0]]), int(times[part[-1]])
        begin, end = np.searchsorted(query.frames, (first, last + 1))
        share = len(part) / max(1, int(end - begin))
        moments = len(np.unique(times[part]))
        if moments >= _MOMENTS and last - first >= _SPAN / STEP and share >= _SHARE and first + offset >= 0:
            # A pair spans up to two seconds; half of the window of the spectrum belongs to its last peak.
            reach = int(query.pairs[rows[part[-1]]] & 63) + _WINDOW // HOP // 2
            yield Heard(
                video_id,
                first * STEP,
                (last + reach) * STEP,
                (first + offset) * STEP,
                (last + offset + reach) * STEP,
                moments,
                share,
            )


def _best(found: list[Heard]) -> list[Heard]:
    """Without those that say less about the same part of the query and the same part of the video."""
    out: list[Heard] = []
    for one in sorted(found, key=lambda h: -h.votes):
        covered = any(
            other.video_id == one.video_id
            and min(one.query_end, other.query_end) - max(one.query_start, other.query_start)
            > 0.5 * (one.query_end - one.query_start)
            and one.votes < 0.5 * other.votes
            for other in out
        )
        if not covered:
            out.append(one)
    return out
