"""What the user may write, and how it becomes vectors: parts -> channels, each seen in one or two spaces.

A part has one channel; but a clip is looked for by its pictures and by its motion, where the library knows motion.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from footage.errors import QueryError, UnsupportedMedia
from footage.places import Place, Remote, is_url
from footage.stores.columns import products
from footage.types import Video, Where, spaces_of

if TYPE_CHECKING:
    from footage.encoders import Encoder, Together
    from footage.stores import Store
    from footage.types import Float32, Float64, Roles, UInt8

T = TypeVar("T")
Kind: TypeAlias = Literal["text", "image", "video"]
Like: TypeAlias = Literal["all", "kind", "pictures", "motion"]

_BACKGROUND = 2048  # samples from which the background of a query is judged
_CLIP_SAMPLES = 48  # samples, or windows, of a query clip: more of them change the answer little
_SPREAD_FLOOR = 0.02  # cosine: in a library of a few like samples the MAD says nothing
_COPY = 1.0  # weight of the layout's cosine beside the network's


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part of a query: words, a picture or a clip. A negative weight means "not like this"."""

    kind: Kind
    value: Any  # str for text; path, PIL image, bytes or array for image; path for video
    weight: float = 1.0
    like: Like = "all"
    """In what a picture or clip is to be alike. "all": the very frames first, then the same kind of content; "kind":
    the same kind of content, be it a copy or not; "pictures", "motion": what is shown, how it moves, alone."""

    @property
    def label(self) -> str:
        """What to call it in the evidence."""
        return str(self.value) if isinstance(self.value, (str, Path, Remote)) else f"({self.kind})"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How one space sees a part of the query."""

    space: str
    vectors: Float32  # (m, q, dim): m variants (as it is, mirrored) of q samples; one sample but for a clip
    weight: float
    copy: bool = False  # the layout's, which tells the very frame

    def cosines(self, rows: Float32) -> Float32:
        """The best variant of each sample against rows float32 (n, dim): float32 (q, n)."""
        m, q, dim = self.vectors.shape
        if m == 1:
            return products(self.vectors[0], rows)
        return products(self.vectors.reshape(m * q, dim), rows).reshape(m, q, len(rows)).max(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """A part of the query, or one side of it, with its views; its score is the weighted sum of their cosines."""

    part: Part
    name: str  # in the evidence: text, image, video, motion
    weight: float  # the part's, shared among its channels
    views: tuple[View, ...]
    starts: Float64  # (q,) where in the query clip each sample stands; zeros otherwise
    lengths: Float64  # (q,) seconds that it stands for
    centre: Float32  # (q,) median score of the background
    spread: Float32  # (q,) robust standard deviation of it

    @property
    def mu(self) -> float:
        """Background of the part as a whole: each sample of a clip counts by its length."""
        return _mean(self.centre, self.lengths)

    @property
    def sigma(self) -> float:
        """Spread of the part as a whole."""
        return _mean(self.spread, self.lengths)

    @property
    def seconds(self) -> float:
        """Length of the query clip."""
        return float(self.starts[-1] + self.lengths[-1])


def _mean(values: Float32, weights: Float64) -> float:
    if len(values) == 1:  # of all but clips; asked for every moment, and numpy's average takes 40 us
        return float(values[0])
    return float(np.average(values, weights=weights))


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
    """The videos that pass the filters; one whose last file was overwritten just now is none any more."""
    return [video for video in videos if video.files and _passes(video, where)]


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
    glob = (glob if is_url(glob) else Path(glob).as_posix()).rstrip("/")
    return any(fnmatch.fnmatchcase(path, p) for p in (glob, f"*/{glob}", f"{glob}/*", f"*/{glob}/*"))


def channels(parts: Sequence[Part], *, store: Store, encoder: Encoder, roles: Roles) -> list[Channel]:
    """Encode the parts, each in the space that answers its kind, and measure their backgrounds.

    Raises:
        QueryError: no part, only negative parts, or a kind that this library cannot answer.
    """
    if not parts:
        raise QueryError("the query is empty", hint="give words, --image FILE or --video FILE")
    if all(part.weight < 0 for part in parts):
        raise QueryError("a query of only `not` has no direction", hint="say also what to look for")
    return [channel for part in parts for channel in _of_part(part, store, encoder, roles)]


def _of_part(part: Part, store: Store, encoder: Encoder, roles: Roles) -> list[Channel]:
    wanted = _roles_of(part, roles)
    at_once = _Clip(np.zeros(1), np.ones(1), {})
    if part.kind == "text":
        vectors = {k: v[None] for k, v in encoder.encode_texts([str(part.value)]).items()}
        return [_channel(part, "text", 1.0, at_once, _views("text", vectors, store, roles), store)]
    if part.kind == "image":
        views = _views("image", encode_picture(part.value, encoder), store, _without_copies(part, roles))
        return [_channel(part, "image", 1.0, at_once, views, store)]
    pictures, moving = clip_vectors(part.value, encoder, pictures="image" in wanted, motion="motion" in wanted)
    out: list[Channel] = []
    if pictures is not None:
        vectors = {space: v[None] for space, v in pictures.vectors.items()}
        views = _views("image", vectors, store, _without_copies(part, roles))
        out.append(_channel(part, "video", 1 / len(wanted), pictures, views, store))
    for space, share in spaces_of(roles, "motion").items() if moving else ():
        # Each has windows of its own, so each is laid along the videos for itself.
        clip = next(clip for clip in moving if space in clip.vectors)
        views = [View(space, clip.vectors[space][None], 1.0)]
        out.append(_channel(part, "motion", share / len(wanted), clip, views, store))
    return out


def _roles_of(part: Part, roles: Roles) -> list[str]:
    """The roles that a part asks."""
    if part.kind != "video":
        wanted = ["text" if part.kind == "text" else "image"]
    elif part.like in ("all", "kind"):
        wanted = [role for role in ("image", "motion") if role in roles] or ["image"]
    else:
        wanted = ["image" if part.like == "pictures" else "motion"]
    for role in wanted:
        if role not in roles:
            by = "motion" if role == "motion" else part.kind
            raise QueryError(
                f"this library cannot be searched by {by}: its model has no {role} side",
                hint="footage models shows what each model answers",
            )
    return wanted


def _without_copies(part: Part, roles: Roles) -> Roles:
    return {role: space for role, space in roles.items() if role != "copy"} if part.like == "kind" else roles


def _channel(part: Part, name: str, share: float, clip: _Clip, views: list[View], store: Store) -> Channel:
    centre: Float32 = np.zeros(len(clip.starts), np.float32)
    variance: Float32 = np.zeros(len(clip.starts), np.float32)
    for view in views:
        median, spread = _background(view, store)
        centre += view.weight * median
        variance += (view.weight * spread) ** 2
    deviation = np.sqrt(np.maximum(variance, _SPREAD_FLOOR**2))
    return Channel(part, name, part.weight * share, tuple(views), clip.starts, clip.lengths, centre, deviation)


def _views(role: str, vectors: Mapping[str, Float32], store: Store, roles: Roles) -> list[View]:
    """How each space of a role sees the query; several are put on the scale of the first, and then weighted.

    Cosines of two spaces spread by as little as 0.02 or as much as 0.2: as they are, one of them would not be heard.
    """
    views = [View(space, vectors[space], share) for space, share in spaces_of(roles, role).items()]
    if len(views) > 1:
        widths = [float(_background(view, store)[1].mean()) for view in views]
        views = [replace(v, weight=v.weight * widths[0] / width) for v, width in zip(views, widths, strict=True)]
    if role == "image":
        views += [View(space, vectors[space], _COPY * w, copy=True) for space, w in spaces_of(roles, "copy").items()]
    return views


def _background(view: View, store: Store) -> tuple[Float32, Float32]:
    """Median and robust standard deviation of a view's cosines over the library: float32 (q,) each."""
    scores = view.cosines(store.sample_vectors(view.space, _BACKGROUND))
    if not scores.shape[1]:
        return np.zeros(len(scores), np.float32), np.full(len(scores), _SPREAD_FLOOR, np.float32)
    median = np.median(scores, axis=1)
    spread = np.maximum(1.4826 * np.median(np.abs(scores - median[:, None]), axis=1), _SPREAD_FLOOR)
    return median, spread


def encode_picture(value: Any, encoder: Encoder) -> dict[str, Float32]:
    """Encode one picture of any kind that `media.read_picture` takes, and its mirror image: {space: (2, 1, dim)}."""
    from footage.media import read_picture, resize

    picture = read_picture(value)
    together = _together(encoder)
    images = together.scaled(picture.shape[1], picture.shape[0], lambda w, h: resize(picture, w, h))
    both = [images, tuple(image[:, ::-1] for image in images)]
    return {space: vectors[:, None] for space, vectors in together.encode_sizes(both).items()}


def _together(encoder: Encoder) -> Together:
    from footage.encoders import Together

    return Together.of(encoder)


@dataclass(slots=True, eq=False)
class _Clip:
    """One way of looking at a query: the samples of a clip, or its windows of one kind; else all at once."""

    starts: Float64  # (q,)
    lengths: Float64  # (q,) seconds for which each stands
    vectors: Mapping[str, Float32]  # space -> (q, dim)


def clip_vectors(
    path: str | Place, encoder: Encoder, *, pictures: bool = True, motion: bool = False
) -> tuple[_Clip | None, list[_Clip]]:
    """Sample a query clip, and cut it into windows, as a library video: at most 48 of each, from one pass.

    Returns what its pictures say, and what its windows say to each encoder that looks at windows.

    Raises:
        MediaError: it is not a video that can be decoded.
    """
    from footage.media import open_video
    from footage.sampling import SamplingSettings
    from footage.windows import WindowSample, samples_and_windows

    together = _together(encoder)
    cutters = together.cutters() if motion else []
    seen: list[tuple[float, float, tuple[UInt8, ...]]] = []
    moved: dict[int, list[tuple[float, float, Mapping[str, Float32]]]] = {cutter.number: [] for cutter in cutters}
    with open_video(path) as reader:
        settings = SamplingSettings(every=max(1.0, reader.info.duration / _CLIP_SAMPLES))
        apart = {c.number: -(-c.window.count(reader.info.duration) // _CLIP_SAMPLES) * c.window.stride for c in cutters}
        for each in samples_and_windows(reader.frames(), settings, cutters, lambda: reader.duration):
            if isinstance(each, WindowSample):
                rows = moved[each.cutter]
                if not rows or each.start > rows[-1][0] + apart[each.cutter] - 1e-6:
                    rows.append((each.start, each.end, together.encode_windows(each.cutter, [each.pictures])))
            elif pictures:
                frame = each.frame
                seen.append((each.start, each.end, together.scaled(frame.width, frame.height, frame.picture)))
        end = reader.duration
    if not seen and not any(moved.values()):
        raise UnsupportedMedia(f"no pictures in the clip: {path}", uri=str(path))
    moving = [_clip(_thinned(rows), end) for rows in moved.values()]
    if not seen:
        return None, moving
    return _clip([(a, b, together.encode_sizes([images])) for a, b, images in _thinned(seen)], end), moving


def _thinned(rows: Sequence[T]) -> Sequence[T]:
    """So many rows, evenly: of pictures, cuts add some; and a file may be longer than it says."""
    last = len(rows) - 1
    return [rows[i] for i in sorted({round(n * last / (_CLIP_SAMPLES - 1)) for n in range(_CLIP_SAMPLES)})]


def _clip(rows: Sequence[tuple[float, float, Mapping[str, Float32]]], end: float) -> _Clip:
    """Put rows together; each stands also for what was left out behind it."""
    starts = np.array([start for start, _, _ in rows], np.float64)
    lengths = np.diff(np.append(starts, max(end, rows[-1][1], starts[-1] + 1e-3)))
    return _Clip(starts, lengths, {space: np.concatenate([each[space] for _, _, each in rows]) for space in rows[0][2]})
