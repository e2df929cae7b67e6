"""What copy search is compared with: Meta's vPDQ, and one mean vector a video. Both look at every video anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import EncoderUnavailable, MediaError
from footage.evaluate.scoring import Answered, Found
from footage.media import open_video
from footage.pipeline import stage

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.evaluate.making import CopySet, Told
    from footage.types import Float32, Float64

_EVERY = 1 / 3  # seconds between hashed frames
_MEAN_EVERY = 3  # of them, one goes into the mean vector
_SIDE = 256  # pixels of a frame that is hashed
# Both as in Meta's vPDQ (facebook/ThreatExchange, vpdq): least quality of a hash, most bits that may differ.
_QUALITY, _DISTANCE = 50, 31


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    at: Float64  # (n,)
    hashes: Float32  # (n, 256) of -1 and 1; only of frames with enough quality
    mean: Float32  # (dim,)


def answers(
    copies: CopySet, encoder: Encoder, space: str, told: Told, *, workers: int = 2
) -> dict[str, tuple[list[Answered], float]]:
    """What each baseline finds, and the seconds it took to compare: {name: (answers, seconds)}.

    `encoder` makes the vectors of `space` that are averaged. Without OpenCV there is no vPDQ.
    """
    paths = [*copies.references, *(q.path for q in copies.queries)]
    lock = threading.Lock()  # an encoder is not for two threads at once
    seen: dict[str, _Seen] = {}
    work = stage(paths, lambda p, _: [(p, _look(p, encoder, space, lock))], stop=threading.Event(), workers=workers)
    with closing(work) as results:
        for path, result in results:
            seen[path] = result
            told("baselines", len(seen), len(paths))
    out: dict[str, tuple[list[Answered], float]] = {}
    started = time.monotonic()
    if any(len(s.hashes) for s in seen.values()):
        found = [Answered(q, _vpdq(seen[q.path], copies.references, seen)) for q in copies.queries]
        out["vpdq"] = found, time.monotonic() - started
    started = time.monotonic()
    found = [Answered(q, _mean(seen[q.path], copies.references, seen)) for q in copies.queries]
    out["mean_vector"] = found, time.monotonic() - started
    return out


def _look(path: str, encoder: Encoder, space: str, lock: threading.Lock) -> _Seen:
    at: list[float] = []
    hashes: list[Float32] = []
    vectors: list[Float32] = []
    due, count = 0.0, 0
    try:
        with open_video(path) as reader:
            for frame in reader.frames():
                if frame.time < due - 1e-3:
                    continue
                due = max(due + _EVERY, frame.time)
                bits = _hash(frame.picture(_SIDE, _SIDE))
                if bits is not None:
                    at.append(frame.time)
                    hashes.append(bits)
                if count % _MEAN_EVERY == 0:
                    picture = frame.picture(*encoder.input_size(frame.width, frame.height))
                    with lock:
                        vectors.append(encoder.encode_images(picture[None])[space][0])
                count += 1
    except MediaError:  # nothing is found of it, which the figures then show
        pass
    mean = np.mean(vectors, axis=0) if vectors else np.zeros(1, np.float32)
    empty = np.zeros((0, 256), np.float32)
    return _Seen(np.array(at), np.array(hashes) if hashes else empty, mean / max(1e-9, float(np.linalg.norm(mean))))


def _hash(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Float32 | None:
    try:
        from footage.encoders.opencv.features import pdq_hash

        bits, quality = pdq_hash(picture)
    except EncoderUnavailable:
        return None
    return np.where(bits, 1, -1).astype(np.float32) if quality >= _QUALITY else None


def _vpdq(query: _Seen, references: Sequence[str], seen: dict[str, _Seen]) -> tuple[Found, ...]:
    """The share of the query's frames that have a partner, or of the video's, whichever is larger; the times are those
    of the first and the last of them."""
    out: list[Found] = []
    for path in references:
        other = seen[path]
        if not len(query.hashes) or not len(other.hashes):
            continue
        near = query.hashes @ other.hashes.T >= 256 - 2 * _DISTANCE
        rows, columns = near.any(axis=1), near.any(axis=0)
        share = float(max(np.mean(rows), np.mean(columns)))  # an excerpt has few of the one, a compilation of the other
        if share > 0:
            q, v = query.at[rows], other.at[columns]
            box = float(q[0]), float(q[-1] + _EVERY), float(v[0]), float(v[-1] + _EVERY)
            out.append(Found(path, box, share))
    return tuple(out)


def _mean(query: _Seen, references: Sequence[str], seen: dict[str, _Seen]) -> tuple[Found, ...]:
    """The cosine of mean vectors."""
    known = [(path, seen[path].mean) for path in references if seen[path].mean.shape == query.mean.shape]
    return tuple(Found(path, None, float(query.mean @ mean)) for path, mean in known)
