"""A library moves to another store: copy what is missing, compare, and only then say where it is.

Videos that are there already, as they are in the old store, are not copied again: that is how an interrupted run goes
on. Nothing is taken from the old store.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from footage.errors import ConfigError, SpaceMismatch, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from footage.stores import Store
    from footage.types import Embeddings, Space, Video

_BATCH_BYTES = 32 << 20  # of vectors between two commits: what an interrupted run does again
_BATCH_VIDEOS = 256
_SAMPLED = 64  # videos whose vectors are compared, in every space
_CLOSE = 2e-3  # how far a cosine's part may be off: Lance keeps 16 bits of a number
_START_OVER = "run it again; if it stays so, remove migration.json from the library, which starts over"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was moved, and where it is."""

    source: str
    target: str
    videos: int
    samples: int  # in all spaces
    copied: int  # videos, in this run
    texts: int
    compared: int  # vectors
    dropped: bool  # the old store

    def as_dict(self) -> dict[str, str | int | bool]:
        """The JSON object of the command line."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def rows_of(store: Store) -> int:
    """How many rows the largest space has, by what is known of the videos."""
    videos = store.videos()
    return max((sum(space.rows(video) for video in videos) for space in store.spaces()), default=0)


def copy(source: Store, target: Store, on_progress: Callable[[int, int], None]) -> int:
    """Bring the target to what the source holds; returns how many videos were copied. `on_progress`: done, of.

    Raises:
        SpaceMismatch: it has a space of that name with another dimension.
        StoreError: the target is full, or fails.
    """
    spaces, videos = source.spaces(), source.videos()
    target.sweep()
    names = {space.name for space in spaces}
    for space in target.spaces():
        if space.name not in names:
            target.drop_space(space.name)
    for space in spaces:
        target.create_space(space)
    there = {video.id for video in target.videos()}
    kept = there & {video.id for video in videos}
    target.delete((there | {video_id for video_id, _ in target.text_counts()}) - kept)
    missing = _missing(source, target, videos)
    on_progress(len(videos) - len(missing), len(videos))
    done = len(videos) - len(missing)
    talking = {video_id for video_id, _ in source.text_counts()}
    for batch in _batches(missing, spaces):
        target.delete([video.id for video in batch])
        for video in batch:
            target.add([source.vectors(space.name, video.id) for space in spaces])
        target.put_texts([text for video in batch if video.id in talking for text in source.texts(video.id)])
        target.commit(batch)
        done += len(batch)
        on_progress(done, len(videos))
    target.refresh()
    return len(missing)


def _missing(source: Store, target: Store, videos: list[Video]) -> list[Video]:
    """The videos that the target does not have as they are in the source."""
    there = {video.id: video for video in target.videos()}
    if not there:
        return videos
    wrong: set[str] = set()
    for space in source.spaces():
        ours, theirs = source.counts(space.name), target.counts(space.name)
        wrong |= {video.id for video in videos if ours.get(video.id, 0) != theirs.get(video.id, 0)}
    talking = {video_id for store in (source, target) for video_id, _ in store.text_counts()} - wrong
    wrong |= {video_id for video_id in talking if source.texts(video_id) != target.texts(video_id)}
    return [video for video in videos if video.id in wrong or there.get(video.id) != video]


def _batches(videos: list[Video], spaces: list[Space]) -> Iterator[list[Video]]:
    batch: list[Video] = []
    held = 0
    for video in videos:
        batch.append(video)
        held += sum(4 * space.dim * space.rows(video) for space in spaces)
        if held >= _BATCH_BYTES or len(batch) >= _BATCH_VIDEOS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def verify(source: Store, target: Store) -> tuple[int, int, int]:
    """Compare both stores: all videos and counts, and vectors and texts of some; returns rows, texts, vectors compared.

    Raises:
        StoreError: they differ.
    """
    videos = source.videos()
    if source.spaces() != target.spaces():
        raise StoreError("the copy has other spaces than the library", hint=_START_OVER)
    if videos != target.videos():
        raise StoreError("the copy has other videos than the library", hint=_START_OVER)
    known = {video.id for video in videos}
    rows = compared = 0
    for space in source.spaces():
        ours, theirs = ({i: n for i, n in store.counts(space.name).items() if i in known} for store in (source, target))
        if ours != theirs:
            wrong = sum(ours.get(i) != theirs.get(i) for i in ours.keys() | theirs.keys())
            raise StoreError(f"{wrong} videos have other samples in the copy, in {space.name}", hint=_START_OVER)
        rows += sum(ours.values())
        for video in videos[:: max(1, len(videos) // _SAMPLED)]:
            one, other = source.vectors(space.name, video.id), target.vectors(space.name, video.id)
            if not _same(one, other):
                raise StoreError(
                    f"the samples of a video differ in the copy, in {space.name}: {video.path}", hint=_START_OVER
                )
            compared += len(one)
    return rows, _verify_texts(source, target, videos), compared


def _verify_texts(source: Store, target: Store, videos: list[Video]) -> int:
    known = {video.id for video in videos}
    ours, theirs = ({p: n for p, n in store.text_counts().items() if p[0] in known} for store in (source, target))
    if ours != theirs:
        wrong = {pair[0] for pair in ours.keys() | theirs.keys() if ours.get(pair) != theirs.get(pair)}
        raise StoreError(f"{len(wrong)} videos have other texts in the copy", hint=_START_OVER)
    talking = [video for video in videos if video.id in {video_id for video_id, _ in ours}]
    for video in talking[:: max(1, len(talking) // _SAMPLED)]:
        if source.texts(video.id) != target.texts(video.id):
            raise StoreError(f"the texts of a video differ in the copy: {video.path}", hint=_START_OVER)
    return sum(ours.values())


def _same(one: Embeddings, other: Embeddings) -> bool:
    if len(one) != len(other):
        return False
    times = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("start", "end", "at"))
    return times and bool(np.allclose(one.vectors, other.vectors, rtol=0, atol=_CLOSE))


def check_fits(source: Store, target: Store) -> None:
    """Tell what cannot be copied before anything is.

    Raises:
        SpaceMismatch: the target has one of the spaces with another dimension.
        ConfigError: the library has texts, and the target cannot keep any.
    """
    if source.text_counts() and not target.keeps_texts:
        raise ConfigError(
            "the library has timed texts, and this Milvus has no full text search",
            hint="2.5 or newer keeps texts; or name another target",
        )
    ours = {space.name: space for space in source.spaces()}
    for space in target.spaces():
        mine = ours.get(space.name)
        if mine is not None and mine.dim != space.dim:
            raise SpaceMismatch(
                f"space {space.name!r} has {space.dim} dimensions in the target, and {mine.dim} in the library",
                hint="name another target",
            )
