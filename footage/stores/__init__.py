"""Stores: where vectors and the facts about videos live. The protocol, and `open_store`.

The commit mark is the video row: `add` writes sample rows that nobody sees, `commit` writes the video row and makes
them visible. A process killed in between leaves rows without a mark; `sweep` removes them before the next run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from footage.stores.address import Access, Address, parsed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager

    from footage.types import Embeddings, Float32, Hits, Space, TextHit, TimedText, Video


class Store(Protocol):
    """One library's vectors and videos. One process writes at a time; any number read."""

    def writing(self) -> AbstractContextManager[None]:
        """Be the only one who writes, on this machine or another, until the end of the block.

        Raises:
            StoreUnavailable: another process is writing; or, when something is written, took this one for dead.
        """
        ...

    def spaces(self) -> list[Space]:
        """The spaces of this store, in the order in which they were created."""
        ...

    def create_space(self, space: Space) -> None:
        """Create a space; nothing happens if it exists with the same dimension.

        Raises:
            SpaceMismatch: it exists with another dimension.
        """
        ...

    def drop_space(self, name: str) -> bool:
        """Remove a space with all its rows, at once for every reader; False if there is none of that name."""
        ...

    def fill(self, rows: Sequence[Embeddings]) -> None:
        """Write the samples of whole videos to spaces, in place of what those spaces have of them; on disk on return.

        For videos that are committed already: their rows are visible at once, all of a space's or none.

        Raises:
            SpaceMismatch: an unknown space, or vectors of another dimension.
        """
        ...

    def add(self, rows: Sequence[Embeddings]) -> None:
        """Write samples; they stay invisible until their video is committed. May be called many times for a video.

        Raises:
            SpaceMismatch: an unknown space, or vectors of another dimension.
        """
        ...

    def commit(self, videos: Sequence[Video]) -> None:
        """Write or replace video rows, atomically; this makes their samples visible."""
        ...

    def put(self, video: Video, rows: Sequence[Embeddings]) -> None:
        """Replace whatever is known of a video: delete, add, commit. Idempotent."""
        ...

    def search(
        self,
        space: str,
        vectors: Float32,
        k: int,
        *,
        videos: Collection[str] | None = None,
        exact: bool = False,
        rough: bool = False,
    ) -> list[Hits]:
        """Find the k nearest visible samples to each query, float32 (q, dim) of any length; one `Hits` a query.

        `videos` restricts the answer to these ids before the search, so that k hits come back if there are k;
        `exact` bypasses the index. Fewer than k hits only if there are no more. `rough` may miss some of them and be
        some hundredths off in their scores, where that is much quicker: for many queries whose best are compared anew.
        """
        ...

    def vectors(self, space: str, video_id: str) -> Embeddings:
        """All samples of one visible video, by time; empty if there are none."""
        ...

    def vectors_of(self, space: str, video_ids: Sequence[str]) -> list[Embeddings]:
        """What `vectors` gives for each of several videos, in one read."""
        ...

    def sample_vectors(self, space: str, n: int) -> Float32:
        """Up to n vectors of the space, spread over it, the same for the same content: the background of a query."""
        ...

    @property
    def keeps_texts(self) -> bool:
        """Whether it can: a Milvus server before 2.5 has no full text search."""
        ...

    def put_texts(self, texts: Sequence[TimedText], of: Collection[tuple[str, str]] = ()) -> None:
        """Write timed texts in place of all that there are of the same videos and kinds; on disk on return.

        `of` names further pairs of video and kind that have no texts now. Texts of a video that is not committed stay
        invisible until it is. They go with `delete` alone, as nothing can make them anew.

        Raises:
            QueryError: a kind, language, range or length out of bounds; nothing is written.
            ConfigError: the store cannot keep texts.
        """
        ...

    def search_texts(
        self, query: str, k: int, *, videos: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> list[TextHit]:
        """Find the k visible texts that answer the words best, by BM25 (Robertson and Zaragoza 2009).

        One of the words is enough, the rarer it is the better; see `footage.stores.texts` for what counts as a word.
        `videos` and `kinds` restrict the answer before the search.

        Raises:
            QueryError: no words, or k below 1.
            ConfigError: the store cannot keep texts.
        """
        ...

    def texts(self, video_id: str) -> list[TimedText]:
        """All texts of one visible video, by time."""
        ...

    def text_counts(self) -> dict[tuple[str, str], int]:
        """How many texts each video id has of each kind, committed or not: what an audit compares."""
        ...

    def videos(self) -> list[Video]:
        """All committed videos, in the order of their first path."""
        ...

    def get(self, video_id: str) -> Video | None:
        """One committed video."""
        ...

    def delete(self, video_ids: Collection[str], *, texts: bool = True) -> None:
        """Remove videos with all their samples and texts, the commit marks first; unknown ids are ignored.

        Without `texts` these stay, invisible until the video is committed again: for one that is made anew.
        """
        ...

    def counts(self, space: str) -> dict[str, int]:
        """How many rows of the space each video id has, committed or not: what an audit compares."""
        ...

    def outgrown(self, space: str, rows: int) -> str:
        """The index that a space of so many rows would get if it were made now, where that is not the one it has."""
        ...

    def sweep(self) -> int:
        """Remove samples without a commit mark; returns how many. Only the writer may call it."""
        ...

    def refresh(self) -> None:
        """Bring files and indexes in order after writing: compact, build an index once it pays, take in new rows."""
        ...

    def erase(self) -> None:
        """Remove everything that the store holds of this library, for good; afterwards it is as new."""
        ...

    def close(self) -> None:
        """Release files and connections; the store cannot be used afterwards."""
        ...


def open_store(
    uri: str | Path, *, root: str | Path | None = None, name: str = "", access: Access | None = None
) -> Store:
    """Open a store by its URI (see `footage.stores.address`); a path is a directory for Lance.

    Directories that are not absolute lie in `root`. `name` keeps libraries on one server apart: the same name is the
    same library.

    Raises:
        ConfigError: nothing that could be a store.
        StoreError: the directory holds something else, or cannot be written.
        StoreUnavailable: the server cannot be reached, or another process has the directory.
    """
    address = Address("lance", str(uri)) if isinstance(uri, Path) else parsed(uri)
    if address.kind == "memory":
        from footage.stores.memory import MemoryStore

        return MemoryStore()
    base = Path.cwd() if root is None else Path(root)
    if address.kind == "lance":
        from footage.stores.lance import LanceStore

        return LanceStore(address.folder(base))
    from footage.stores.milvus import open_milvus

    return open_milvus(address, base, name, access or Access())
