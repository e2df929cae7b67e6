"""The door to Lance: one table on disk that follows its newest version, and whose errors are ours.

Lance keeps every version of a table until it is cleaned up; a reader works on one version and disturbs nobody.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

# Lance takes these from the environment only, and by default reads up to 2 GB ahead: building the index of 100 k x 1280
# then peaks 600 MB above the idle process, like this 400 MB. They must be set before it is loaded.
os.environ.setdefault("LANCE_DEFAULT_IO_BUFFER_SIZE", str(32 << 20))
os.environ.setdefault("LANCE_SHUFFLE_BATCH_BYTES", str(8 << 20))
# its notes about coming releases are for its developers; errors come as exceptions
os.environ.setdefault("LANCE_LOG", "error")

import lance as _lance
import pyarrow as _arrow  # pyright: ignore[reportMissingTypeStubs]

from footage.errors import SpaceMismatch, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Sequence

T = TypeVar("T")
lance, pa = cast("Any", _lance), cast("Any", _arrow)  # both are only partly typed
Dataset: TypeAlias = Any  # lance.LanceDataset
Schema: TypeAlias = Any  # pyarrow.Schema
Rows: TypeAlias = Any  # pyarrow.Table

FORMAT = 1
_META = b"footage"
_INDEX_CACHE_BYTES = 2 << 30  # a limit, not a reservation: the index of 1 M x 512 takes 0.34 GB
_METADATA_CACHE_BYTES = 64 << 20

INDEX_ROWS = 5_000  # below, reading every vector takes some milliseconds, and an index would not be faster
_PARTITION_ROWS = 1_000
_PROBES = 6.0  # times the root of the partitions there should be
_MOST_PROBES = 400  # at 10 M x 256 they find 0.964 in 50 ms, and 600 find 0.986 in 61
_TRAIN_ROWS = 64  # a partition; 256, the default, found no more and took twice the memory
_RETRAIN_GROWTH = 4  # the centres were learned from the rows of that time: learn anew when there are 4 x as many
_TAIL_ROWS = 2_000  # rows outside the index are searched one by one, about 1 us each: worth an update from here
_MAX_DELTAS = 4  # every delta is one more index to search
_INDEX = "vector_idx"  # the name that LanceDB would give it
_WORDS = "words_idx"
_FILTER_INDEX = "video_id_idx"  # 3 MB at 1 M rows, and the rows of one video in 1 ms instead of 40
_TRAINED = "footage.trained_rows"

_FRAGMENT_ROWS = 65_536  # compaction stops at this size, so that what was written once is not copied again for ever
_COMPACT_BATCH = 1_024  # rows in flight: compaction holds some 20 batches, which at 8192 x 1280 would be 400 MB
_MAX_FRAGMENTS = 64  # small files slow down every reader and make every new version larger
_KEEP_VERSIONS = timedelta(seconds=20)  # a reader takes well under a second, and asks again if it was overtaken

if sys.platform == "win32":
    _NO_SPACE, _DENIED = ("os error 112)", "os error 39)"), ("os error 5)", "os error 19)")
else:  # full, over quota, file too large; not permitted, denied, read-only
    _NO_SPACE, _DENIED = (
        ("os error 28)", "os error 122)", "os error 27)"),
        ("os error 1)", "os error 13)", "os error 30)"),
    )
_CONFLICT = ("onflict", "Too many concurrent writers")
_FOREIGN = (OSError, ValueError, RuntimeError, TypeError, NotImplementedError, pa.ArrowException)


def mapped(error: BaseException, path: Path) -> StoreError:
    """Say in our words what went wrong; Lance tells the kinds apart only in its text."""
    text = str(error)
    if any(sign in text for sign in _NO_SPACE):
        return StoreError(f"no space left for the library: {path}", hint="free some space and run the command again")
    if isinstance(error, PermissionError) or any(sign in text for sign in _DENIED):
        return StoreError(f"the library cannot be read or written: {path}", hint="check the permissions of that folder")
    if any(sign in text for sign in _CONFLICT):
        return StoreUnavailable(f"another process wrote to the library: {path}", hint="run the command again")
    reason = re.split(r", /|\n", text)[0]
    return StoreError(f"the library is damaged: {path}: {reason}", hint="run `footage doctor`, or index anew elsewhere")


@contextmanager
def door(path: Path) -> Generator[None]:
    """Map what Lance and Arrow raise to our errors."""
    try:
        yield
    except _FOREIGN as error:
        raise mapped(error, path) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # Rust gave up, on a damaged file; it has no other base
            raise mapped(error, path) from error
        raise


def quoted(ids: Iterable[str]) -> str:
    """Write ids for an SQL list."""
    return ", ".join("'" + i.replace("'", "''") + "'" for i in ids)


def probed(rows: int) -> int:
    """How many partitions a search looks at, at least, in a space of so many rows.

    Its own judgement ends the search of Lance too early where nothing is near: at 1 M x 256 (`bench/scale.py`) it found
    0.964 of the ten best.
    """
    return max(1, min(_MOST_PROBES, round(_PROBES * (rows / _PARTITION_ROWS) ** 0.5)))


def new_session() -> Any:
    """Make the caches that the tables of one store share."""
    return lance.Session(index_cache_size_bytes=_INDEX_CACHE_BYTES, metadata_cache_size_bytes=_METADATA_CACHE_BYTES)


class Table:
    """One Lance dataset; every call works on its newest version. Safe to share between threads."""

    def __init__(self, path: Path, session: Any) -> None:
        self.path = path
        self._session = session
        self._dataset: Dataset = None
        self._handle = RLock()  # of `_dataset`, and never for long: searches wait for it
        self._writes = RLock()  # of changes, which may take a minute (an index over a million rows)

    def exists(self) -> bool:
        """Tell whether it was created; a crash in `create` may leave an empty directory, which does not count."""
        with door(self.path):
            if self._dataset is not None or not self.path.exists():
                return self._dataset is not None
            unborn = self.path.is_dir() and not any(self.path.glob("_versions/*")) and not any(self.path.glob("data/*"))
            return not unborn

    def create(self, schema: Schema, meta: dict[str, Any]) -> None:
        """Create it, empty."""
        schema = schema.with_metadata({_META: json.dumps({"format": FORMAT, **meta}).encode()})
        with door(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lance.write_dataset(schema.empty_table(), str(self.path), mode="create")

    def meta(self) -> dict[str, Any]:
        """What was written at creation."""
        return self.read(self._meta)

    def read(self, work: Callable[[Dataset], T]) -> T:
        """Do something with the newest version; once more if the writer cleaned its files up meanwhile."""
        with door(self.path):
            for _ in range(5):
                try:
                    return work(self._latest())
                except _FOREIGN as error:
                    if not _vanished(error):
                        raise
                    self.forget()
            return work(self._latest())

    def append(self, rows: Rows) -> None:
        """Add rows as one new version."""
        with door(self.path), self._writes:
            lance.write_dataset(rows, self._own(), mode="append")

    def upsert(self, key: str, rows: Rows) -> None:
        """Add rows, or replace those of the same key, as one new version."""
        with door(self.path), self._writes:
            merge = self._own().merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)

    def delete(self, key: str, values: Collection[str]) -> int:
        """Delete rows by key; returns how many there were."""
        if not values:
            return 0
        where = f"{key} IN ({quoted(sorted(values))})"
        with door(self.path), self._writes:
            return int(self._own().delete(where)["num_deleted_rows"])

    def delete_where(self, where: str) -> None:
        """Delete rows by a filter."""
        with door(self.path), self._writes:
            self._own().delete(where)

    def replace(self, keys: Sequence[str], rows: Rows, where: str) -> None:
        """Put rows in place of those that pass a filter, as one new version; `keys` tell rows apart."""
        with door(self.path), self._writes:
            merge = self._own().merge_insert(list(keys)).when_matched_update_all().when_not_matched_insert_all()
            merge.when_not_matched_by_source_delete(where).execute(rows)

    def tidy(self, *, only_if_many: bool = False) -> None:
        """Merge small files and remove old versions."""
        with door(self.path), self._writes:
            dataset = self._own()
            if only_if_many and len(dataset.get_fragments()) < _MAX_FRAGMENTS:
                return
            dataset.optimize.compact_files(
                target_rows_per_fragment=_FRAGMENT_ROWS, batch_size=_COMPACT_BATCH, num_threads=1
            )
            self._own().cleanup_old_versions(_KEEP_VERSIONS)

    def index(self) -> None:
        """Build the indexes once they pay, extend them as rows gather outside, learn the centres anew after growth."""
        with door(self.path), self._writes:
            dataset = self._own()
            rows = int(dataset.count_rows())
            found = _described(dataset)
            if found is None:
                if rows >= INDEX_ROWS:
                    self._build(rows)
                return
            indexed, deltas = int(found.num_rows_indexed), len(found.segments)
            learned_from = int(cast("dict[str, str]", dataset.config()).get(_TRAINED, "0"))
            if rows > _RETRAIN_GROWTH * learned_from:
                self._build(rows)
            elif rows - indexed >= max(_TAIL_ROWS, rows // 50):
                dataset.optimize.optimize_indices(num_indices_to_merge=deltas if deltas >= _MAX_DELTAS else 0)

    def index_words(self, column: str) -> None:
        """Create an inverted index over words with spaces between, if there is none."""
        with door(self.path), self._writes:
            if _described(self._own(), _WORDS) is None:
                self._own().create_scalar_index(
                    column,
                    "INVERTED",
                    name=_WORDS,
                    base_tokenizer="whitespace",
                    with_position=False,
                    lower_case=False,
                    stem=False,
                    remove_stop_words=False,
                    ascii_folding=False,
                    max_token_length=None,
                )

    def extend_words(self, least: int = _TAIL_ROWS) -> None:
        """Take rows into the inverted index, once there are so many outside of it."""
        with door(self.path), self._writes:
            dataset = self._own()
            found = _described(dataset, _WORDS)
            rows = int(dataset.count_rows())
            if found is None or rows - int(found.num_rows_indexed) < least:
                return
            if rows >= INDEX_ROWS and _described(dataset, _FILTER_INDEX) is None:
                self._own().create_scalar_index("video_id", "BITMAP", name=_FILTER_INDEX)
            deltas = len(found.segments)
            self._own().optimize.optimize_indices(num_indices_to_merge=deltas if deltas >= _MAX_DELTAS else 0)

    def forget(self) -> None:
        """Close the handle."""
        with self._handle:
            self._dataset = None

    def _build(self, rows: int) -> None:
        parts = max(4, rows // _PARTITION_ROWS)
        self._own().create_index(
            "vector",
            "IVF_RQ",
            name=_INDEX,
            metric="dot",
            num_partitions=parts,
            sample_rate=_TRAIN_ROWS,
            replace=True,
        )
        self._own().create_scalar_index("video_id", "BITMAP", name=_FILTER_INDEX, replace=True)
        self._own().update_config({_TRAINED: str(rows)})
        if sys.platform == "linux":  # glibc keeps what the build's threads gave back: 300 MB at 100 k x 1280
            trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:
                trim(0)

    def _own(self) -> Dataset:
        """Open a handle for writing, which changes it: a thread that reads through the same one would get an error."""
        dataset = self._latest()
        return dataset.checkout_version(dataset.version)

    def _latest(self) -> Dataset:
        with self._handle:
            dataset = self._dataset
            if dataset is None:
                dataset = lance.dataset(str(self.path), session=self._session)
                self._meta(dataset)
            elif dataset.version != (version := dataset.latest_version):
                dataset = dataset.checkout_version(version)  # a new handle: others may be reading through the old one
            self._dataset = dataset
            return dataset

    def _meta(self, dataset: Dataset) -> dict[str, Any]:
        raw = cast("dict[bytes, bytes]", dataset.schema.metadata or {}).get(_META)
        if raw is None:
            raise StoreError(f"not a library of Footage, or a damaged one: {self.path}", hint="run `footage doctor`")
        meta = cast("dict[str, Any]", json.loads(raw))
        if meta.get("format") != FORMAT:
            raise SpaceMismatch(
                f"the library has format {meta.get('format')}, this Footage reads {FORMAT}: {self.path}",
                hint="use the version of Footage that made it, or index again into a new library",
            )
        return meta


def _described(dataset: Dataset, name: str = _INDEX) -> Any:
    # not index_statistics(): it returns all centres, 10 MB of JSON at 1 M rows
    return next((d for d in dataset.describe_indices() if d.name == name), None)


def _vanished(error: BaseException) -> bool:
    return "Not found" in str(error) or "not found" in str(error) or "os error 2)" in str(error)
