"""The timed texts: numbered rows in a collection that finds them by BM25.

A server ranks them itself. Milvus Lite would compare scores that count how rare a word is file by file (its
`engine/collection.py` says so), so there this process, the only one that has it open, ranks what it reads.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Any

from footage.errors import ConfigError
from footage.stores.milvus import tables
from footage.stores.milvus.collections import PAGE, Collections, parts
from footage.stores.milvus.indexes import WORDS
from footage.stores.milvus.tables import one_of
from footage.stores.texts import Corpus, best_first
from footage.types import TextHit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from footage.stores.milvus.ledger import Known, Ledger
    from footage.stores.milvus.link import Link
    from footage.types import TimedText

_REQUEST_ROWS = 1_000
_REQUEST_BYTES = 8 << 20


class Texts:
    """The collection of texts, there from the first one on. Safe to share between threads; one of them writes."""

    def __init__(self, link: Link, collections: Collections, ledger: Ledger, prefix: str) -> None:
        self._link = link
        self._collections = collections
        self._ledger = ledger
        self._prefix = prefix
        self._reading = Lock()
        self._corpus: tuple[str, Corpus] = "", Corpus([])  # as of a change

    def check(self) -> None:
        """Raise ConfigError if the server cannot keep texts."""
        self._link.check()
        if not self._link.able.texts:
            version = ".".join(map(str, self._link.able.version))
            raise ConfigError(
                f"the Milvus at {self._link.shown} is {version}, which has no full text search",
                hint="2.5 or newer keeps texts; or move the library to Lance: footage migrate lance:",
            )

    # writing

    def create(self, known: Known) -> None:
        """Create the collection, if there is none."""
        if not known.texts:
            self._ledger.create()
            name = tables.new_texts(self._prefix)
            self._collections.create_texts(name)
            self._ledger.write([tables.texts_row(name)])
            self._ledger.known.texts = name

    def put(self, known: Known, groups: Mapping[tuple[str, str], Sequence[TimedText]]) -> None:
        """Write texts over what there is of these videos and kinds, then remove the rest of that."""
        batch: list[dict[str, Any]] = []
        held = 0
        for (video_id, kind), texts in groups.items():
            first = tables.text_key(video_id, kind)
            for n, text in enumerate(texts):
                batch.append(tables.text_row(text, first + n))
                held += len(batch[-1]["terms"].encode()) + len(text.text.encode())
                if len(batch) >= _REQUEST_ROWS or held >= _REQUEST_BYTES:
                    self._send(known, batch)
                    batch, held = [], 0
        self._send(known, batch)
        for (video_id, kind), texts in groups.items():
            rest = f"pk >= {tables.text_key(video_id, kind) + len(texts)}"
            self._delete(known, f"{_video([video_id])} and {one_of('kind', [tables.spelled(kind)])} and {rest}")

    def _send(self, known: Known, batch: list[dict[str, Any]]) -> None:
        if batch:
            self._collections.wrote(known.texts, len(batch))
            self._link.send(known.texts, batch)

    def _delete(self, known: Known, where: str) -> None:
        self._collections.wrote(known.texts, 1)
        self._link.call("delete", known.texts, filter=where)

    def remove(self, known: Known, ids: Sequence[str]) -> None:
        """Remove the texts of videos."""
        for part in parts(ids) if known.texts else ():
            self._delete(known, _video(part))

    # reading

    def counts(self, known: Known) -> dict[tuple[str, str], int]:
        """How many texts each video has of each kind, everything that was written counted."""
        if not known.texts:
            return {}
        rows = self._collections.every(known.texts, ["video", "kind"], self._now)
        return dict(Counter((tables.read_name(row["video"]), tables.read_name(row["kind"])) for row in rows))

    @property
    def _now(self) -> dict[str, Any]:
        return {} if self._link.able.lite else {"consistency_level": "Strong"}

    def of(self, known: Known, video_id: str) -> list[TimedText]:
        """The texts of one visible video."""
        if not known.texts or video_id not in known.videos:
            return []
        level = self._ledger.level(known.written)
        return [
            tables.read_text(r) for r in self._collections.every(known.texts, [*tables.TEXT], level, _video([video_id]))
        ]

    def search(
        self,
        known: Known,
        words: Sequence[str],
        k: int,
        *,
        videos: Collection[str] | None,
        kinds: Collection[str] | None,
    ) -> list[TextHit]:
        """Find the k visible texts with one of the words that answer them best."""
        wanted = known.videos.keys() if videos is None else known.videos.keys() & set(videos)
        if not known.texts or not wanted or (kinds is not None and not kinds):
            return []
        if not self._link.able.ranks_texts or k > PAGE:
            return self._all(known).search(words, k, wanted, kinds)
        hits: list[TextHit] = []
        without = known.pending
        for _ in range(4):
            hits = self._best(known, words, k, _where(known, wanted, without, kinds))
            if all(hit.text.video_id in wanted for hit in hits):
                break
            known = self._ledger.current(anew=True)
            without = known.pending | {hit.text.video_id for hit in hits} - wanted
        return best_first([hit for hit in hits if hit.text.video_id in wanted], k)

    def _best(self, known: Known, words: Sequence[str], k: int, where: str) -> list[TextHit]:
        (found,) = self._link.call(
            "search",
            known.texts,
            [" ".join(words)],
            anns_field="words",
            filter=where,
            limit=k,
            output_fields=[*tables.TEXT],
            search_params={"metric_type": WORDS.metric, "params": {}},
            **self._ledger.level(known.written),
        )
        return [
            TextHit(tables.read_text(hit["entity"]), abs(float(hit["distance"]))) for hit in found
        ]  # Lite: negative

    def _all(self, known: Known) -> Corpus:
        """All texts, committed or not, read again when something was written."""
        with self._reading:
            change, corpus = self._corpus
            if change != known.change or not change:
                change = known.change  # before reading: what is written meanwhile comes with another one
                rows = self._collections.every(known.texts, [*tables.TEXT], self._ledger.level(known.written))
                corpus = Corpus([tables.read_text(row) for row in rows])
                self._corpus = change, corpus
            return corpus


def _video(ids: Sequence[str]) -> str:
    return one_of("video", map(tables.spelled, ids))


def _where(known: Known, wanted: Collection[str], without: Collection[str], kinds: Collection[str] | None) -> str:
    """An expression for the texts of wanted videos, by the shorter list, and of kinds."""
    where: list[str] = []
    rest = known.videos.keys() - set(wanted)
    if len(wanted) <= len(rest):
        where.append(_video(sorted(wanted)))
    elif rest or without:
        where.append(f"not ({_video(sorted(rest | set(without)))})")
    if kinds is not None:
        where.append(one_of("kind", map(tables.spelled, sorted(kinds))))
    return " and ".join(where)
