"""Timed texts in a Lance table with an inverted index over their terms.

The index is there from the first text on. Rows that it does not hold yet are searched one by one by Lance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from footage.stores.lance_table import Dataset, Rows, Table, pa, quoted
from footage.stores.texts import best_first, by_time, terms
from footage.types import TextHit, TimedText

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

FILE = "texts.lance"
_KEYS = ("video_id", "kind", "n")
_FIELDS = ("video_id", "start", "end", "text", "kind", "language")
_SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("kind", pa.string()),
        ("n", pa.int64()),  # within the video's texts of this kind
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("terms", pa.string()),  # what it is found by, with spaces between
    ]
)
_TIDY_EVERY = 64  # puts


@dataclass(slots=True)
class LanceTexts:
    """The texts of one library."""

    _find: Callable[[], Table]  # complains when the store is closed
    _puts: int = 0

    def put(self, groups: Mapping[tuple[str, str], Sequence[TimedText]]) -> None:
        """Write texts in place of what there is of these videos and kinds, in one version."""
        table = self._find()
        if not table.exists():
            if not any(groups.values()):
                return
            table.create(_SCHEMA, {})
        table.index_words("terms")  # in any case: a process may have been killed after `create`
        where = _pairs(groups)
        rows = _columns(groups)
        if not table.read(lambda dataset: dataset.count_rows(where)):
            if rows.num_rows:
                table.append(rows)
        elif rows.num_rows:
            table.replace(_KEYS, rows, where)
        else:
            table.delete_where(where)
        self._puts += 1
        table.extend_words()
        if self._puts % _TIDY_EVERY == 0:
            table.tidy(only_if_many=True)

    def search(
        self, words: Sequence[str], k: int, *, wanted: AbstractSet[str], visible: AbstractSet[str], kinds: str | None
    ) -> list[TextHit]:
        """Find the k best texts of the wanted videos among the visible ones; `kinds` is a filter on kinds."""
        table = self._find()
        if not wanted or not table.exists() or not table.read(lambda dataset: dataset.count_rows()):
            return []
        where: str | None = None
        if len(wanted) < len(visible):
            rest = visible - wanted
            few, word = (wanted, "IN") if len(wanted) <= len(rest) else (rest, "NOT IN")  # a long list costs time
            where = f"video_id {word} ({quoted(sorted(few))})"
        hits: list[TextHit] = []
        for _ in range(4):
            both = " AND ".join(filter(None, (where, kinds)))
            hits = table.read(partial(_best, words=words, k=k, where=both or None))
            if all(hit.text.video_id in wanted for hit in hits):
                break
            # texts of videos that are not committed yet: ask again, without them
            where = f"video_id NOT IN ({quoted(sorted(self.ids() - wanted))})"
        return best_first([hit for hit in hits if hit.text.video_id in wanted], k)

    def of(self, video_id: str) -> list[TimedText]:
        """The texts of one video, by time."""
        table = self._find()
        if not table.exists():
            return []
        where = f"video_id = {quoted([video_id])}"
        rows = table.read(lambda dataset: dataset.scanner(columns=list(_FIELDS), filter=where).to_table())
        return sorted((TimedText(**row) for row in rows.to_pylist()), key=by_time)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many texts each video has of each kind."""
        table = self._find()
        if not table.exists():
            return {}
        rows = table.read(lambda dataset: dataset.scanner(columns=["video_id", "kind"]).to_table())
        counted = rows.group_by(["video_id", "kind"]).aggregate([([], "count_all")]).to_pydict()
        return dict(zip(zip(counted["video_id"], counted["kind"], strict=True), counted["count_all"], strict=True))

    def ids(self) -> set[str]:
        """The videos that have texts, committed or not."""
        return {video_id for video_id, _ in self.counts()}

    def remove(self, ids: Collection[str]) -> None:
        """Remove the texts of videos."""
        table = self._find()
        if ids and table.exists():
            table.delete("video_id", ids)

    def refresh(self) -> None:
        """Compact small files, clean up old versions, take new rows into the index."""
        table = self._find()
        if table.exists():
            table.tidy()
            table.extend_words(least=1)


def _pairs(groups: Iterable[tuple[str, str]]) -> str:
    by_kind: dict[str, list[str]] = {}
    for video_id, kind in groups:
        by_kind.setdefault(kind, []).append(video_id)
    each = (f"(kind = {quoted([kind])} AND video_id IN ({quoted(sorted(ids))}))" for kind, ids in by_kind.items())
    return " OR ".join(each)


def kinds_filter(kinds: Collection[str] | None) -> str | None:
    """A filter on kinds; none of them passes no text."""
    return None if kinds is None else f"kind IN ({quoted(sorted(kinds))})" if kinds else "false"


def _columns(groups: Mapping[tuple[str, str], Sequence[TimedText]]) -> Rows:
    rows: list[dict[str, Any]] = []
    for texts in groups.values():
        for n, text in enumerate(texts):
            row = {name: getattr(text, name) for name in _FIELDS}
            rows.append(row | {"n": n, "terms": " ".join(terms(text.text))})
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _best(dataset: Dataset, words: Sequence[str], k: int, where: str | None) -> list[TextHit]:
    rows = dataset.scanner(
        columns=[*_FIELDS, "_score"],
        full_text_query={"columns": ["terms"], "query": " ".join(words)},
        limit=k,
        filter=where,
        prefilter=True,
        disable_scoring_autoprojection=True,
    ).to_table()
    found: list[TextHit] = []
    for row in rows.to_pylist():
        score = float(row.pop("_score"))
        found.append(TextHit(TimedText(**row), score))
    return found
