"""Answer a query with moments: query -> vectors -> candidate videos -> score curves -> moments -> fused ranking.

Two stages. First each part of the query finds candidate videos through the store's index; then the candidates' whole
score curves are read for every part, so that fusion, negation and the borders of moments work on exact scores and
not on whatever the index happened to return.

Scores of different parts and spaces cannot be added as they are. Each is put on the scale of its own background
first: z = (cosine - median) / (1.4826 MAD) over a spread of the library's samples (robust z-score; Iglewicz and
Hoaglin 1993). Parts are then added with their weights; a negative part only ever takes away.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from footage.errors import NotIndexed, QueryError, UnsupportedMedia
from footage.types import Embeddings, Evidence, Moment, Video, Where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from footage.encoders import Encoder
    from footage.stores import Store
    from footage.types import Float32, Float64

Kind: TypeAlias = Literal["text", "image", "video"]

WEAK = 0.5
"""A moment of less strength is more likely wrong than right."""

MAX_RESULTS = 1000
_BACKGROUND = 2048  # samples from which the background of a query is judged
_CLIP_SAMPLES = 48  # samples of a query clip: more of them change the answer little
_GRID = 0.25  # seconds: step of the time axis on which a clip is laid against a video
_SPREAD_FLOOR = 0.02  # cosine: in a library of a few like samples the MAD says nothing
_COPY = 1.0  # weight of the layout's cosine beside the network's
_CLOSER = 32  # samples that get a closer look
_LAYOUT_HALF, _LAYOUT_FULL = 0.75, 0.90  # cosine of layouts from which on, and where in full, they are trusted
_KEEP = 0.8  # a moment goes on while its samples reach this part of its best one's z


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part of a query: words, a picture or a clip. A negative weight means "not like this"."""

    kind: Kind
    value: Any  # str for text; path, PIL image, bytes or array for image; path for video
    weight: float = 1.0

    @property
    def label(self) -> str:
        """What to call it in the evidence."""
        return str(self.value) if isinstance(self.value, (str, Path)) else f"({self.kind})"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How many answers, from where."""

    k: int = 10
    offset: int = 0
    per_video: int = 3
    where: Where = field(default_factory=Where)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How one space sees a part of the query."""

    space: str
    vectors: Float32  # (m, q, dim): m variants (as it is, mirrored) of q samples; one sample but for a clip
    weight: float

    def cosines(self, rows: Float32) -> Float32:
        """The best variant of each sample against rows float32 (n, dim): float32 (q, n)."""
        return (self.vectors @ rows.T).max(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """A part of the query with its views; its score is the weighted sum of their cosines."""

    part: Part
    views: tuple[View, ...]
    starts: Float64  # (q,) where in the query clip each sample stands; zeros otherwise
    lengths: Float64  # (q,) seconds that it stands for
    centre: Float32  # (q,) median score of the background
    spread: Float32  # (q,) robust standard deviation of it

    @property
    def seconds(self) -> float:
        """Length of the query clip."""
        return float(self.starts[-1] + self.lengths[-1])


@dataclass(slots=True, eq=False)
class Curve:
    """One video's samples in time, with the score of each channel: columns of length n."""

    start: Float64
    end: Float64
    at: Float64
    z: dict[int, Float32] = field(default_factory=lambda: {})  # channel number -> (n,) score, see above
    cosine: dict[tuple[int, str], Float32] = field(default_factory=lambda: {})  # (channel, space) -> (n,) best cosine
    laid: dict[int, Float32] = field(default_factory=lambda: {})
    """Clip's channel number -> score of laying it at each offset from -clip length on, a grid step apart."""
    layouts: Float32 | None = None  # (n, dim) vectors of the copy role, where a picture is looked for
    bonus: Float32 = field(default_factory=lambda: np.zeros(1, np.float32))  # (n,) or (1,): what a closer look at the best samples adds to the fused score


# ------------------------------------------------------------------------------------------ what the user may write


def parse_part(kind: Kind, text: str) -> Part:
    """Read `2:red car` as the words `red car` with weight 2; without a number the weight is 1.

    Raises:
        QueryError: there is nothing after the weight, or the weight is 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?):(.*)", text, flags=re.DOTALL)
    weight, value = (float(match[1]), match[2].strip()) if match else (1.0, text.strip())
    if not value:
        raise QueryError("the query is empty", hint="say what to look for, for example: footage search 'a red car'")
    if weight == 0:
        raise QueryError(f"a weight of 0 makes no query: {text}", hint="leave that part out")
    return Part(kind, value, weight)


def parse_time(text: str) -> float:
    """Read a local date or time (ISO 8601: 2024, 2024-05, 2024-05-31, 2024-05-31T18:00) as unix time.

    Raises:
        QueryError: it is none of these.
    """
    for pattern in ("%Y", "%Y-%m"):
        try:
            return datetime.strptime(text, pattern).timestamp()
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise QueryError(
            f"not a date: {text}", hint="for example 2024, 2024-05, 2024-05-31 or 2024-05-31T18:00"
        ) from error


def select(videos: Iterable[Video], where: Where) -> list[Video]:
    """The videos that pass the filters."""
    return [video for video in videos if _passes(video, where)]


def _passes(video: Video, where: Where) -> bool:
    bounds = (
        (where.after, video.recorded_at, None),
        (None, video.recorded_at, where.before),
        (where.min_duration, video.duration, None),
        (where.min_bytes, video.size_bytes, None),
    )
    return (
        all((low is None or value >= low) and (high is None or value < high) for low, value, high in bounds)
        and (where.max_duration is None or video.duration <= where.max_duration)
        and (where.max_bytes is None or video.size_bytes <= where.max_bytes)
        and (not where.videos or video.id in where.videos)
        and (not where.paths or any(_path_matches(f.path, glob) for f in video.files for glob in where.paths))
    )


def _path_matches(path: str, glob: str) -> bool:
    """Whether a path, its tail, or a folder on the way matches the glob; case counts."""
    glob = Path(glob).as_posix().rstrip("/")
    return any(fnmatch.fnmatchcase(path, p) for p in (glob, f"*/{glob}", f"{glob}/*", f"*/{glob}/*"))


# ---------------------------------------------------------------------------------------------- query -> vectors


def channels(parts: Sequence[Part], *, store: Store, encoder: Encoder, roles: Mapping[str, str]) -> list[Channel]:
    """Encode the parts, each in the space that answers its kind, and measure their backgrounds.

    Raises:
        QueryError: no part, only negative parts, or a kind that this library cannot answer.
    """
    if not parts:
        raise QueryError("the query is empty", hint="give words, --image FILE or --video FILE")
    if all(part.weight < 0 for part in parts):
        raise QueryError("a query of only `not` has no direction", hint="say also what to look for")
    return [_channel(part, store, encoder, roles) for part in parts]


def _channel(part: Part, store: Store, encoder: Encoder, roles: Mapping[str, str]) -> Channel:
    role = "text" if part.kind == "text" else "image"
    if role not in roles:
        raise QueryError(
            f"this library cannot be searched by {part.kind}: its model has no {role} side",
            hint="footage models shows what each model answers",
        )
    starts, lengths = np.zeros(1), np.ones(1)
    if part.kind == "text":
        vectors = {k: v[None] for k, v in encoder.encode_texts([str(part.value)]).items()}
    elif part.kind == "image":
        vectors = encode_picture(part.value, encoder)
    else:
        starts, lengths, spaces = clip_vectors(part.value, encoder)
        vectors = {k: v[None] for k, v in spaces.items()}
    views = [View(roles[role], vectors[roles[role]], 1.0)]
    if role == "image" and "copy" in roles:
        views.append(View(roles["copy"], vectors[roles["copy"]], _COPY))
    centre: Float32 = np.zeros(len(starts), np.float32)
    variance: Float32 = np.zeros(len(starts), np.float32)
    for view in views:
        scores = view.cosines(store.sample_vectors(view.space, _BACKGROUND))
        if not scores.shape[1]:
            continue
        median = np.median(scores, axis=1)
        spread = np.maximum(1.4826 * np.median(np.abs(scores - median[:, None]), axis=1), _SPREAD_FLOOR)
        centre += view.weight * median
        variance += (view.weight * spread) ** 2
    return Channel(part, tuple(views), starts, lengths, centre, np.sqrt(np.maximum(variance, _SPREAD_FLOOR**2)))


def encode_picture(value: Any, encoder: Encoder) -> dict[str, Float32]:
    """Encode one picture of any kind that `media.read_picture` takes, and its mirror image: {space: (2, 1, dim)}."""
    from footage.media import read_picture, resize

    picture = read_picture(value)
    picture = resize(picture, *encoder.input_size(picture.shape[1], picture.shape[0]))
    both = np.stack([picture, picture[:, ::-1]])
    return {space: vectors[:, None] for space, vectors in encoder.encode_images(both).items()}


def clip_vectors(path: str | Path, encoder: Encoder) -> tuple[Float64, Float64, dict[str, Float32]]:
    """Sample a query clip as a library video is sampled: (starts, lengths, {space: (q, dim)}), q at most 48.

    Raises:
        MediaError: it is not a video that can be decoded.
    """
    from footage.media import open_video
    from footage.sampling import SamplingSettings, samples

    with open_video(path) as reader:
        every = max(1.0, reader.info.duration / _CLIP_SAMPLES)
        kept = samples(reader.frames(), SamplingSettings(every=every), lambda: reader.duration)
        rows = [(s.start, s.end, s.frame.picture(*encoder.input_size(s.frame.width, s.frame.height))) for s in kept]
    if not rows:
        raise UnsupportedMedia(f"no pictures in the clip: {path}", uri=str(path))
    # Cuts add samples of their own: thin out evenly, the neighbours then stand for what is left out.
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, _CLIP_SAMPLES).round().astype(int))]
    starts = np.array([start for start, _, _ in rows])
    lengths = np.diff([*starts, max(rows[-1][1], starts[-1] + 1e-3)])
    encoded = [encoder.encode_images(picture[None]) for _, _, picture in rows]
    return starts, lengths, {s: np.concatenate([e[s] for e in encoded]) for s in encoded[0]}


# ----------------------------------------------------------------------------------------------- vectors -> moments


def search(
    parts: Sequence[Part], *, store: Store, encoder: Encoder, roles: Mapping[str, str], settings: SearchSettings
) -> list[Moment]:
    """Find the moments that answer the parts together, best first.

    Raises:
        QueryError: an empty query, one that this library cannot answer, or settings out of range.
        MediaError: a query picture or clip that cannot be read.
        NotIndexed: the library is empty.
    """
    _check(settings)
    found = channels(parts, store=store, encoder=encoder, roles=roles)
    videos = {v.id: v for v in store.videos()}
    if not videos:
        raise NotIndexed("the library is empty", hint="run: footage index FOLDER")
    allowed = None if settings.where == Where() else [v.id for v in select(videos.values(), settings.where)]
    if allowed is not None and not allowed:
        return []
    candidates = _candidates(found, store, settings, allowed)
    moments: list[Moment] = []
    for video_id, curve in curves(found, store, [videos[c] for c in candidates if c in videos]).items():
        cut = _clip_moments if any(found[number].part.weight > 0 for number in curve.laid) else _moments
        moments += cut(videos[video_id], curve, found, encoder, settings)
    moments.sort(key=lambda m: (-m.score, m.video.id, m.start))
    return moments[settings.offset : settings.offset + settings.k]


def _check(settings: SearchSettings) -> None:
    if not 1 <= settings.k <= MAX_RESULTS:
        raise QueryError(f"k is {settings.k}, but must lie between 1 and {MAX_RESULTS}")
    if settings.offset < 0 or settings.per_video < 1:
        raise QueryError("offset must not be negative, and per-video at least 1")


def _candidates(found: list[Channel], store: Store, settings: SearchSettings, allowed: list[str] | None) -> list[str]:
    """The videos worth a closer look, by their best samples in any view of any positive part."""
    wanted = settings.offset + settings.k + 5
    out: dict[str, None] = {}
    for channel in found:
        for view in channel.views:
            if channel.part.weight > 0:
                out.update(dict.fromkeys(_nearest_videos(channel, view, store, wanted, allowed)))
    return list(out)


def _nearest_videos(channel: Channel, view: View, store: Store, wanted: int, allowed: list[str] | None) -> list[str]:
    variants, samples, dim = view.vectors.shape
    share = np.tile(channel.lengths / channel.lengths.sum(), variants).tolist()
    k = max(256, 30 * wanted) if samples == 1 else max(64, 5 * wanted)
    while True:
        hits = store.search(view.space, view.vectors.reshape(-1, dim), k, videos=allowed)
        best: dict[str, float] = {}
        for hit, part_of_clip in zip(hits, share, strict=True):
            seen: set[str] = set()
            floor = float(hit.score[-1]) if len(hit) else 0.0
            for video_id, cosine in zip(hit.video_ids, hit.score.tolist(), strict=True):
                if video_id not in seen:  # hits come best first
                    seen.add(video_id)
                    best[video_id] = best.get(video_id, 0.0) + (cosine - floor) * part_of_clip
        # All hits in a few long videos: look further, within reason.
        if len(best) >= wanted or all(len(hit) < k for hit in hits) or k > 20_000:
            return sorted(best, key=lambda v: (-best[v], v))[:wanted]
        k *= 4


def curves(found: Sequence[Channel], store: Store, videos: Sequence[Video]) -> dict[str, Curve]:
    """The score of every sample of these videos in every channel."""
    out: dict[str, Curve] = {}
    for video in videos:
        read: dict[str, Embeddings] = {}
        for number, channel in enumerate(found):
            for view in channel.views:
                if view.space not in read:
                    read[view.space] = store.vectors(view.space, video.id)
            if len(read[channel.views[0].space]):
                first = next(iter(read.values()))
                curve = out.setdefault(video.id, Curve(first.start, first.end, first.at))
                _add(curve, number, channel, read)
    _look_closer(out, found)
    return out


def _add(curve: Curve, number: int, channel: Channel, read: Mapping[str, Embeddings]) -> None:
    total = np.zeros((len(channel.starts), len(curve.at)), np.float32)
    for view in channel.views:
        rows = read[view.space]
        if not len(rows):
            continue
        # Spaces of one encoder share their samples; another's samples are looked up by time.
        column = (np.searchsorted(rows.start, curve.at, side="right") - 1).clip(0)
        cosine = view.cosines(rows.vectors)[:, column]
        total += view.weight * cosine
        curve.cosine[number, view.space] = cosine.max(axis=0)
        if channel.part.kind == "image" and view is not channel.views[0]:
            curve.layouts = rows.vectors[column]
    z = (total - channel.centre[:, None]) / channel.spread[:, None]
    if channel.part.kind == "video":
        curve.laid[number] = _lay(channel, curve, z)
    curve.z[number] = z.max(axis=0)


def _look_closer(found_in: dict[str, Curve], found: Sequence[Channel]) -> None:
    """Tell near-identical candidates apart: compare what is left of their layouts without what they share.

    Takes of one scene have the same background, and it drowns the little in which they differ. The mean layout of the
    best samples is that background; what remains of each sample and of the query is compared once more. Only where
    the layout speaks at all: a crop or another camera has none in common.
    """
    for number, channel in enumerate(found):
        if channel.part.kind != "image" or channel.part.weight < 0 or len(channel.views) < 2:
            continue
        view = channel.views[1]
        samples = [
            (float(z), float(curve.cosine[number, view.space][i]), curve, i)
            for curve in found_in.values()
            if number in curve.z and curve.layouts is not None and (number, view.space) in curve.cosine
            for i, z in enumerate(curve.z[number].tolist())
        ]
        best = sorted(samples, key=lambda s: -s[0])[:_CLOSER]
        if len(best) < 3:
            continue
        trust = float(np.clip((max(s[1] for s in best) - _LAYOUT_HALF) / (_LAYOUT_FULL - _LAYOUT_HALF), 0, 1))
        rows = np.stack([curve.layouts[i] for _, _, curve, i in best if curve.layouts is not None])
        rest = rows - rows.mean(axis=0)
        queries = view.vectors[:, 0] - rows.mean(axis=0)
        alike = ((queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ rest.T).max(axis=0)
        alike /= np.maximum(np.linalg.norm(rest, axis=1), 1e-6)
        for (_, _, curve, i), cosine in zip(best, alike.tolist(), strict=True):
            if len(curve.bonus) != len(curve.at):
                curve.bonus = np.zeros(len(curve.at), np.float32)
            curve.bonus[i] += trust * (cosine + 1) / channel.spread[0]


def _lay(channel: Channel, rows: Curve, z: Float32) -> Float32:
    """Lay a clip along a video at every offset; float32 (offsets,), the first one a clip's length before the start.

    The score of an offset is the mean z along its diagonal, weighted by how long each sample of the clip stands:
    a cross-correlation of the two score curves (speed 1; `copies` knows other speeds).
    """
    before = _steps(channel.seconds)  # the clip may begin before the video does
    steps = _steps(float(rows.end[-1]))
    grid = np.where(_inside(rows, steps), z[:, _tiles(rows, steps)], 0.0)  # outside the video: background
    weights = channel.lengths / channel.lengths.sum()
    total = np.zeros(before + steps, np.float32)
    middles = channel.starts + channel.lengths / 2
    for row, shift in enumerate(np.floor(middles / _GRID).astype(int)):
        # offset o, at index o + before, puts the clip's time `shift` on the video's time o + shift
        source = np.arange(before + steps) - before + shift
        valid = (source >= 0) & (source < steps)
        total[valid] += weights[row] * grid[row, source[valid]]
    return total


def _steps(seconds: float) -> int:
    return max(1, int(np.ceil(seconds / _GRID - 1e-6)))


def _tiles(curve: Curve, steps: int) -> NDArray[np.intp]:
    """The sample that stands at the middle of each grid step."""
    return (np.searchsorted(curve.start, (np.arange(steps) + 0.5) * _GRID, side="right") - 1).clip(0)


def _inside(curve: Curve, steps: int) -> NDArray[np.bool_]:
    times = (np.arange(steps) + 0.5) * _GRID
    return (times >= curve.start[0]) & (times < curve.end[_tiles(curve, steps)])


def _clip_moments(
    video: Video, curve: Curve, found: list[Channel], encoder: Encoder, settings: SearchSettings
) -> list[Moment]:
    """Moments of a query with a clip in it: the clip's length, at the offsets where it fits best.

    The other parts of the query count with their best sample under the clip.
    """
    seconds = max(found[number].seconds for number in curve.laid)
    before, steps = _steps(seconds), _steps(float(curve.end[-1]))
    fused = np.zeros(before + steps, np.float32)
    for number, weight in _weights(found):
        if number in curve.laid:
            laid = curve.laid[number]  # of a shorter clip: its first offsets are missing
            scores = np.pad(laid, (before + steps - len(laid), 0))
        elif number in curve.z:
            grid = curve.z[number][_tiles(curve, steps)]
            padded = np.pad(grid, (before, before), constant_values=-np.inf)
            scores = np.lib.stride_tricks.sliding_window_view(padded, before + 1).max(axis=1)[: before + steps]
            scores = np.where(np.isfinite(scores), scores, 0.0)
        else:
            continue
        fused += weight * (scores if weight > 0 else np.maximum(scores, 0.0))
    out: list[Moment] = []
    while len(out) < settings.per_video:
        best = int(fused.argmax())
        score = float(fused[best])
        start, end = (best - before) * _GRID, (best - before) * _GRID + seconds
        columns = np.flatnonzero((curve.end > start) & (curve.start < end))
        if not np.isfinite(score) or (out and score <= 0) or not len(columns):
            break
        span = slice(int(columns[0]), int(columns[-1]) + 1)
        bounds = (max(0.0, start), min(float(curve.end[-1]), end))
        out.append(_moment(video, curve, found, encoder, span, score, bounds))
        fused[max(0, best - before + 1) : best + before] = -np.inf
    return out


def _moments(
    video: Video, curve: Curve, found: list[Channel], encoder: Encoder, settings: SearchSettings
) -> list[Moment]:
    """Cut a video's fused curve into moments: from each peak outwards while the samples stay close to it."""
    fused = np.zeros(len(curve.at), np.float32)
    for number, weight in _weights(found):
        z = curve.z.get(number, fused * 0)
        fused += weight * (z if weight > 0 else np.maximum(z, 0.0))
    free = np.ones(len(fused), bool)
    out: list[Moment] = []
    while len(out) < settings.per_video and free.any():
        peak = int(np.where(free, fused + curve.bonus, -np.inf).argmax())
        if out and fused[peak] <= 0:
            break
        left = right = peak
        floor = _KEEP * fused[peak] if fused[peak] > 0 else fused[peak]
        while left > 0 and free[left - 1] and fused[left - 1] >= floor and _touch(curve, left - 1):
            left -= 1
        while right < len(fused) - 1 and free[right + 1] and fused[right + 1] >= floor and _touch(curve, right):
            right += 1
        span, bounds = slice(left, right + 1), (float(curve.start[left]), float(curve.end[right]))
        score = float((fused + curve.bonus)[peak])
        out.append(_moment(video, curve, found, encoder, span, score, bounds, peak))
        # What touches a moment and is a little weaker belongs to it for the eye; a second moment begins further off.
        free[max(0, left - 1) : right + 2] = False
    return out


def _touch(curve: Curve, i: int) -> bool:
    return bool(curve.start[i + 1] - curve.end[i] < 1e-3)


def _weights(found: list[Channel]) -> list[tuple[int, float]]:
    """Each channel's share: the positive ones add up to 1."""
    total = sum(c.part.weight for c in found if c.part.weight > 0)
    return [(number, channel.part.weight / total) for number, channel in enumerate(found)]


def _moment(
    video: Video,
    curve: Curve,
    found: list[Channel],
    encoder: Encoder,
    span: slice,
    score: float,
    bounds: tuple[float, float],
    peak: int | None = None,
) -> Moment:
    evidence: list[Evidence] = []
    strength = 0.0
    alike = np.zeros(span.stop - span.start, np.float32)
    for number, weight in _weights(found):
        if number not in curve.z:
            continue
        channel, z = found[number], curve.z[number][span]
        best = span.start + int(z.argmax())
        sure = judge(channel, encoder, curve, number, best)
        name = "not" if weight < 0 else channel.part.kind
        for view in channel.views:
            if (number, view.space) in curve.cosine:
                cosine = float(curve.cosine[number, view.space][best])
                evidence.append(Evidence(name, channel.part.label, view.space, cosine, sure, float(curve.at[best])))
        if weight > 0:
            strength += weight * sure
            alike += weight * z
    best = span.start + int(alike.argmax()) if peak is None else peak
    return Moment(video, *bounds, float(curve.at[best]), score, strength, tuple(evidence))


def judge(channel: Channel, encoder: Encoder, curve: Curve, number: int, best: int) -> float:
    """How sure an answer is, 0..1: a logistic of the score above the query's own background."""
    return float(1 / (1 + np.exp(-(float(curve.z[number][best]) - 4.0))))
