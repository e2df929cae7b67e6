"""Which samples of a library look the same: a self-join by locality-sensitive hashing, in n log n steps.

Signs of random projections (Charikar 2002) make the keys; for each of several keys all samples are sorted by it, and
only neighbours in the sorted order are compared, by a longer sketch of the same kind. So a library of twice the size
takes twice the steps and a little more for the sorting, however its pictures are spread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.types import Float32

_TABLES = 12  # keys
_WINDOW = 6  # neighbours that a sample is compared with, in each
_SKETCH = 192  # bits
_FAR, _NEAR = 0.29, 0.18  # of the sketch's bits that may differ, some 52 and 32 degrees: at most, and in any library
_SMALL = 10_000  # samples of a library in which _FAR is right
_BY_CHANCE = 8.0  # samples that may lie between the two from any one; in a large library chance alone puts more
_DRAWN, _MOST_DRAWN = 100, 4_000_000  # pairs for each sample, and in sum, by which that is measured
_RUN = 12  # samples that two on one line may lie apart
_LEAST_BITS, _MOST_BITS = 10, 24
_SHORT = 3  # samples of a video, of which one is enough; of a longer one there must be two on one line
_PLAIN = 0.5  # length below which a vector says nothing: a black picture has no edges
_SEED = 20100607
_BLOCK = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Sketches:
    """Bits of all samples: columns of length n."""

    video: NDArray[np.int32]  # (n,) number of the video
    place: NDArray[np.int32]  # (n,) number of the sample in it
    bits: NDArray[np.uint64]  # (n, 3)
    mirrored: NDArray[np.uint64]  # (n, 3) of the mirror images; no rows where the space cannot mirror

    def __len__(self) -> int:
        return len(self.video)


@dataclass(slots=True, eq=False)
class Sketcher:
    """Makes sketches of vectors of one space, video by video."""

    mean: Float32  # (dim,) of the library
    middle: Float32  # (dim,) median of the centred projections: every bit is set in half of the library
    planes: Float32  # (dim, bits)
    _videos: list[NDArray[np.int32]] = field(default_factory=list["NDArray[np.int32]"])
    _places: list[NDArray[np.int32]] = field(default_factory=list["NDArray[np.int32]"])
    _bits: list[NDArray[np.uint64]] = field(default_factory=list["NDArray[np.uint64]"])
    _mirrored: list[NDArray[np.uint64]] = field(default_factory=list["NDArray[np.uint64]"])

    @staticmethod
    def of(background: Float32) -> Sketcher:
        """From a spread of the library's vectors (m, dim)."""
        dim = background.shape[1]
        planes = np.random.default_rng(_SEED).standard_normal((dim, _SKETCH)).astype(np.float32)
        mean = background.mean(axis=0) if len(background) else np.zeros(dim, np.float32)
        projected = centred(background, mean) @ planes
        middle = np.median(projected, axis=0) if len(background) else np.zeros(_SKETCH)
        return Sketcher(mean, middle.astype(np.float32), planes)

    def take(
        self, video: int, vectors: Float32, mirrored: Float32 | None, place: NDArray[np.intp] | None = None
    ) -> None:
        """Add the samples of a video, all of them or those with these numbers; what shows nothing is left out."""
        shown = np.linalg.norm(vectors, axis=1) > _PLAIN
        self._videos.append(np.full(int(shown.sum()), video, np.int32))
        self._places.append((np.arange(len(vectors)) if place is None else place)[shown].astype(np.int32))
        self._bits.append(self._packed(vectors[shown]))
        if mirrored is not None:
            self._mirrored.append(self._packed(mirrored[shown]))

    def made(self) -> Sketches:
        """All that was taken."""
        none = np.zeros((0, _SKETCH // 64), np.uint64)
        bits = np.concatenate([none, *self._bits])
        videos, places = (np.concatenate([np.zeros(0, np.int32), *each]) for each in (self._videos, self._places))
        return Sketches(videos, places, bits, np.concatenate([none, *self._mirrored]))

    def _packed(self, vectors: Float32) -> NDArray[np.uint64]:
        parts = [
            np.packbits(centred(vectors[i : i + _BLOCK], self.mean) @ self.planes > self.middle, axis=1)
            for i in range(0, len(vectors), _BLOCK)
        ]
        packed = np.concatenate([np.zeros((0, _SKETCH // 8), np.uint8), *parts])
        return np.ascontiguousarray(packed).view(np.uint64).reshape(len(packed), _SKETCH // 64)


def centred(rows: Float32, mean: Float32) -> Float32:
    """Unit rows without what all have in common."""
    rows = rows - mean
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def pairs(sketches: Sketches) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Pairs of videos, the lower number first, with their samples that look the same: numbers (m, 2) in the two."""
    most = _angle(sketches)
    found = _votes(sketches.video, sketches.bits, sketches.video, sketches.bits, most, same=True)
    if len(sketches.mirrored):
        turned = _votes(sketches.video, sketches.bits, sketches.video, sketches.mirrored, most)
        found = np.concatenate([found, turned], axis=1)
    if not found.shape[1]:
        return {}
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    one, other = found
    swap = sketches.video[one] > sketches.video[other]
    low: NDArray[np.int64] = np.where(swap, other, one)
    high: NDArray[np.int64] = np.where(swap, one, other)
    key = sketches.video[low].astype(np.int64) << 32 | sketches.video[high]
    order = np.lexsort((low, key))
    places = np.column_stack([sketches.place[low], sketches.place[high]]).astype(np.int64)[order]
    keys, first = np.unique(key[order], return_index=True)
    return {
        (int(k) >> 32, int(k) & 0xFFFFFFFF): part for k, part in zip(keys, np.split(places, first[1:]), strict=True)
    }


def in_line(places: NDArray[np.int64], samples: int, other: int) -> NDArray[np.int64]:
    """Those of the samples (m, 2) of two videos, which have so many, that follow each other in both.

    What looks the same by chance does so here and there; what was copied goes on. Samples are counted, not seconds:
    where little moves both videos have few of them.
    """
    if min(samples, other) <= _SHORT:
        return places
    wide = int(places.max()) + 2 * _RUN
    keys = np.unique(places[:, 0] * wide + places[:, 1])
    leads = np.zeros(len(keys), bool)
    borders = np.zeros(len(keys) + 1, np.int64)  # of ranges of those that follow another
    for a in range(1, _RUN + 1):  # one goes on by so many samples, the other by half as many to twice as many
        first = np.searchsorted(keys, keys + (a * wide + max(1, a // 2)))
        last = np.searchsorted(keys, keys + (a * wide + min(_RUN, 2 * a + 1)), side="right")
        leads |= last > first
        borders += np.bincount(first, minlength=len(borders)) - np.bincount(last, minlength=len(borders))
    kept = keys[leads | (np.cumsum(borders)[:-1] > 0)]
    return np.column_stack([kept // wide, kept % wide])


def _angle(sketches: Sketches) -> int:
    """The bits by which two samples that look the same may differ: fewer where a library is so large that chance tells.

    At _FAR, a sample of a library of twice the size looks like twice as many others by chance.
    """
    n = len(sketches)
    far, near = int(_FAR * _SKETCH), int(_NEAR * _SKETCH)
    if n <= _SMALL:
        return far
    rng = np.random.default_rng(_SEED)
    a, b = rng.integers(0, n, (2, min(_DRAWN * n, _MOST_DRAWN)))
    apart = sketches.video[a] != sketches.video[b]
    off = np.bitwise_count(sketches.bits[a] ^ sketches.bits[b]).sum(axis=1)[apart]
    counts = np.bincount(off, minlength=_SKETCH + 1)
    between = np.cumsum(counts[near + 1 : far + 1]) * n / len(a)
    return near + int(np.searchsorted(between, _BY_CHANCE, side="right"))


def _votes(
    video: NDArray[np.int32],
    bits: NDArray[np.uint64],
    other_video: NDArray[np.int32],
    other_bits: NDArray[np.uint64],
    most: int,
    *,
    same: bool = False,
) -> NDArray[np.int64]:
    """Pairs of samples of different videos whose bits differ in at most so many: numbers (2, m), of the two sides."""
    all_video = video if same else np.concatenate([video, other_video])
    all_bits = bits if same else np.concatenate([bits, other_bits])
    n = len(all_video)
    if n < 2:
        return np.zeros((2, 0), np.int64)
    wide = int(np.clip(np.log2(n), _LEAST_BITS, _MOST_BITS))
    rng = np.random.default_rng(_SEED)
    unpacked = all_bits.view(np.uint8)
    half = n if same else len(video)
    out: list[NDArray[np.int64]] = []
    for _ in range(_TABLES):
        key = _key(unpacked, rng.choice(_SKETCH, wide, replace=False))
        order = np.lexsort((rng.permutation(n), key))  # at random within a key: a still video must not fill a window
        for step in range(1, _WINDOW + 1):
            a, b = order[:-step], order[step:]
            near = (key[a] == key[b]) & (all_video[a] != all_video[b])
            if not same:
                near &= (a < half) != (b < half)
            a, b = a[near], b[near]
            close = np.bitwise_count(all_bits[a] ^ all_bits[b]).sum(axis=1) <= most
            a, b = a[close], b[close]
            out.append(np.minimum(a, b).astype(np.int64) << 32 | np.maximum(a, b))
    found = np.unique(np.concatenate(out))
    one, other = found >> 32, found & 0xFFFFFFFF
    return np.stack([one, other if same else other - half])


def _key(unpacked: NDArray[np.uint8], chosen: NDArray[np.intp]) -> NDArray[np.uint32]:
    key = np.zeros(len(unpacked), np.uint32)
    for bit in chosen.tolist():
        key = key << np.uint32(1) | (unpacked[:, bit // 8] >> np.uint8(7 - bit % 8) & np.uint8(1))
    return key
