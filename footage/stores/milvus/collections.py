"""Collections of one library: made, loaded, put into files, dropped and read through."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from footage.stores.milvus import tables
from footage.stores.milvus.indexes import KINDS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from footage.stores.milvus.indexes import Index
    from footage.stores.milvus.link import Link

PAGE = 16_384  # rows that a server gives at once
_PARTITIONS = 16  # of a space, by video
_LITE_ROWS = 2_000  # after which Milvus Lite puts them into a file: in its memory each costs 0.1 ms a search
_IDS = 1_000  # in one expression


class Collections:
    """What is done to a collection whatever it holds."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._unwritten: dict[str, int] = defaultdict(int)  # collection -> changes that may not be in files yet

    def create(self, name: str, vector: str, index: str, *, dim: int | None = None) -> None:
        """Create and load a collection: of samples of a dimension, or of videos."""
        schema = self._schema()
        if dim is None:
            tables.video_fields(schema, self._link.types)
        else:
            tables.sample_fields(schema, self._link.types, dim)
        self._create(name, schema, vector, KINDS[index], parted=dim is not None)

    def create_texts(self, name: str) -> None:
        """Create and load a collection of timed texts, which finds them by BM25."""
        schema = self._schema()
        # Milvus Lite knows no other that asks for nothing more; of our terms both make the same words.
        tables.text_fields(schema, self._link.types, "standard" if self._link.able.lite else "whitespace")
        schema.add_function(self._link.words_function("terms", "words"))
        self._create(name, schema, "words", WORDS, parted=not self._link.able.lite)

    def _schema(self) -> Any:
        return self._link.plain("create_schema", auto_id=False, enable_dynamic_field=False)

    def _create(self, name: str, schema: Any, vector: str, index: Index, *, parted: bool) -> None:
        options = {"num_partitions": _PARTITIONS} if parted else {}
        self._link.call("create_collection", name, schema=schema, num_shards=1, consistency_level="Bounded", **options)
        self._index(name, vector, index)
        self._link.load(name)

    def _index(self, name: str, vector: str, index: Index) -> None:
        params = self._link.plain("prepare_index_params")
        params.add_index(vector, index_type=index.name, metric_type=index.metric, params=dict(index.build))
        self._link.call("create_index", name, params, sync=False)

    def make_ready(self, name: str, index: tuple[str, str] | None = None) -> None:
        """Load a collection that is not; also one whose maker was killed before it had its index (field, kind)."""
        if self._link.state(name) != "Loaded":
            if index is not None and not self._link.call("list_indexes", name):
                self._index(name, index[0], KINDS[index[1]])
            self._link.load(name)

    def drop(self, name: str) -> None:
        """Remove a collection."""
        self._unwritten.pop(name, None)
        self._link.call("drop_collection", name)

    def wrote(self, name: str, rows: int) -> None:
        """Note that a collection was changed."""
        self._unwritten[name] += rows

    def to_files(self, *, only_if_many: bool = False) -> None:
        """Have what was written put into files, of which servers build indexes by themselves."""
        if only_if_many and not self._link.able.lite:
            return
        least = _LITE_ROWS if only_if_many else 1
        for name in [name for name, rows in self._unwritten.items() if rows >= least]:
            del self._unwritten[name]
            self._link.to_files(name)

    def ask(self, name: str, where: str, fields: list[str], level: dict[str, Any]) -> list[Any]:
        """Up to a page of rows; vectors come as arrays."""
        limit = {} if fields == ["count(*)"] else {"limit": PAGE}
        return self._link.call("query", name, filter=where, output_fields=fields, strict_float32=True, **limit, **level)

    def every(self, name: str, fields: list[str], level: dict[str, Any], where: str = "") -> Iterator[Any]:
        """All rows of a collection, or those that pass an expression."""
        rows = self.ask(name, where, fields, level)
        if len(rows) < PAGE:
            yield from rows
            return
        pages = self._link.call("query_iterator", name, batch_size=PAGE, filter=where, output_fields=fields, **level)
        try:
            while rows := self._link.guarded(pages.next):
                yield from rows
        finally:
            self._link.guarded(pages.close)


def parts(values: Any, size: int = _IDS) -> Iterator[Any]:
    """Cut a sequence into parts of up to so many."""
    return (values[i : i + size] for i in range(0, len(values), size))
