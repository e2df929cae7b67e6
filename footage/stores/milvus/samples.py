"""The samples of the spaces: numbered rows, written, counted, removed, paged through and searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.stores.columns import Best, ranked
from footage.stores.milvus import tables
from footage.stores.milvus.collections import PAGE, Collections, parts
from footage.stores.milvus.indexes import KINDS
from footage.stores.milvus.tables import TIMES, Place, one_of
from footage.types import Embeddings, Hits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from footage.stores.milvus.ledger import Known, Ledger
    from footage.stores.milvus.link import Link
    from footage.types import Float32, Float64

_REQUEST_BYTES = 8 << 20  # of vectors; a server takes 64 MiB
_PAGE_BYTES = 16 << 20  # of vectors; a server gives 100 MiB
_HITS = 100_000  # that are asked for at once
_IDS = 1_000  # in one expression


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Columns of equal length n, in the order of the rows' numbers."""

    ids: NDArray[Any]  # of the videos, object (n,)
    start: Float64
    end: Float64
    at: Float64
    vectors: Float32  # (n, dim)


class Samples:
    """The collections of the spaces. Safe to share between threads; one of them writes."""

    def __init__(self, link: Link, collections: Collections, ledger: Ledger) -> None:
        self._link = link
        self._collections = collections
        self._ledger = ledger

    # writing

    def write(self, place: Place, numbered: Iterable[tuple[Embeddings, int]]) -> None:
        """Write samples under their numbers within their video, in requests that a server takes."""
        most = max(1, _REQUEST_BYTES // (4 * tables.width(place.space)))
        batch: list[dict[str, Any]] = []
        for rows, first in numbered:
            key, video = tables.first_row(rows.video_id) + first, tables.spelled(rows.video_id)
            vectors = tables.widened(rows.vectors, tables.width(place.space))
            times = zip(rows.start.tolist(), rows.end.tolist(), rows.at.tolist(), strict=True)
            for i, (start, end, at) in enumerate(times):
                batch.append(
                    {"pk": key + i, "video": video, "start": start, "end": end, "at": at, "vector": vectors[i]}
                )
                if len(batch) >= most:
                    self._send(place, batch)
                    batch = []
        if batch:
            self._send(place, batch)

    def _send(self, place: Place, batch: list[dict[str, Any]]) -> None:
        self._collections.wrote(place.collection, len(batch))
        self._link.send(place.collection, batch)

    def remove(self, place: Place, ids: Sequence[str]) -> None:
        """Remove all samples of videos."""
        for part in parts(ids):
            self._collections.wrote(place.collection, 1)
            self._link.call("delete", place.collection, filter=one_of("video", map(tables.spelled, part)))

    def cut(self, place: Place, video_id: str, n: int) -> None:
        """Remove the samples of a video from number n on."""
        self._collections.wrote(place.collection, 1)
        where = f"{one_of('video', [tables.spelled(video_id)])} and pk >= {tables.first_row(video_id) + n}"
        self._link.call("delete", place.collection, filter=where)

    def count(self, place: Place, ids: Sequence[str]) -> int:
        """How many rows a space has of these videos, everything that was written counted."""
        found = 0
        for part in parts(ids):
            where = one_of("video", map(tables.spelled, part))
            found += int(self._collections.ask(place.collection, where, ["count(*)"], self._now)[0]["count(*)"])
        return found

    @property
    def _now(self) -> dict[str, Any]:
        return {} if self._link.able.lite else {"consistency_level": "Strong"}

    # reading

    def videos(self, place: Place) -> Iterator[str]:
        """The id of the video of every row, everything that was written counted."""
        for row in self._collections.every(place.collection, ["video"], self._now):
            yield tables.read_name(row["video"])

    def numbered(self, known: Known, place: Place, keys: Sequence[int]) -> dict[int, NDArray[Any]]:
        """Vectors by the numbers of their rows; those that are not there are left out."""
        found: dict[int, NDArray[Any]] = {}
        for part in parts(keys, min(_IDS, _page_rows(place))):
            where = f"pk in [{', '.join(map(str, part))}]"
            for row in self._query(known, place, where, ["pk", "vector"]):
                found[int(row["pk"])] = row["vector"][: place.space.dim]
        return found

    def pages(self, known: Known, place: Place, ids: Iterable[str]) -> Iterator[Page]:
        """The samples of videos, page by page; short videos share one."""
        most = _page_rows(place)
        group: list[str] = []
        held = 0
        for video_id in ids:
            n = place.space.rows(known.videos[video_id])
            if n >= most:
                yield from self._long(known, place, video_id, most)
                continue
            if held + n > most or len(group) >= _IDS:
                yield self._page(known, place, one_of("video", map(tables.spelled, group)))
                group, held = [], 0
            group.append(video_id)
            held += n
        if group:
            yield self._page(known, place, one_of("video", map(tables.spelled, group)))

    def _long(self, known: Known, place: Place, video_id: str, most: int) -> Iterator[Page]:
        first = tables.first_row(video_id)
        only = one_of("video", [tables.spelled(video_id)])
        while True:
            page = self._page(known, place, f"{only} and pk >= {first} and pk < {first + most}")
            yield page
            if len(page.ids) < most:
                return
            first += most

    def _page(self, known: Known, place: Place, where: str) -> Page:
        rows = self._query(known, place, where, ["pk", "video", *TIMES, "vector"])
        rows.sort(key=lambda row: row["pk"])
        ids = np.array([tables.read_name(row["video"]) for row in rows], dtype=object)
        start, end, at = (np.array([row[name] for row in rows], np.float64) for name in TIMES)
        return Page(ids, start, end, at, matrix([row["vector"] for row in rows], place.space.dim))

    def _query(self, known: Known, place: Place, where: str, fields: list[str]) -> list[Any]:
        return list(self._collections.ask(place.collection, where, fields, self._ledger.level(known.written)))

    # searching

    def scan(self, known: Known, place: Place, queries: Float32, k: int, wanted: Collection[str]) -> list[Hits]:
        """Compare the queries with every sample of the wanted videos, here."""
        best = Best(len(queries), k)
        for page in self.pages(known, place, sorted(wanted)):
            if len(page.ids):
                best.take(page.ids, page.start, page.end, page.at, queries @ page.vectors.T)
        return best.hits()

    def nearest(
        self,
        known: Known,
        place: Place,
        queries: Float32,
        k: int,
        *,
        only: Collection[str] | None,
        without: Collection[str],
    ) -> list[Hits]:
        """Let Milvus find the k nearest rows to each query, of videos in `only` and not in `without`."""
        where: list[str] = []
        if only is not None:
            where.append(one_of("video", map(tables.spelled, sorted(only))))
        if without:
            where.append(f"not ({one_of('video', map(tables.spelled, sorted(without)))})")
        wide = tables.widened(queries, tables.width(place.space))
        out: list[Hits] = []
        for part in parts(wide, max(1, _HITS // k)):
            found = self._link.call(
                "search",
                place.collection,
                part,
                filter=" and ".join(where),
                limit=k,
                output_fields=["video", *TIMES],
                search_params={"metric_type": "IP", "params": KINDS[place.index].params(k)},
                **self._ledger.level(known.written),
            )
            out += [_hits(each) for each in found]
        return out


def _page_rows(place: Place) -> int:
    return max(1, min(PAGE, _PAGE_BYTES // (4 * tables.width(place.space))))


def matrix(rows: Sequence[Any], dim: int) -> Float32:
    """One matrix (n, dim) of rows that may be wider."""
    if not rows:
        return np.empty((0, dim), np.float32)
    return np.ascontiguousarray(np.asarray(rows, np.float32)[:, :dim])


def _hits(found: Iterable[Any]) -> Hits:
    rows = [(hit["entity"], hit["distance"]) for hit in found]
    ids = np.array([tables.read_name(entity["video"]) for entity, _ in rows], dtype=object)
    start, end, at = (np.array([entity[name] for entity, _ in rows], np.float64) for name in TIMES)
    return ranked(ids, start, end, at, np.array([distance for _, distance in rows], np.float32))
