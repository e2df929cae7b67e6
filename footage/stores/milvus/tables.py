"""How a library lies in Milvus: names, fields, and what stands in an expression.

    footage_ID_videos           one row a video, its facts and the commit mark; one a space; one that changes with all
    footage_ID_space_NAME_xxxx  one row a sample: pk, video (the partition key), start, end, at, vector
    footage_ID_texts_xxxx       one row a timed text: pk, video, kind, start, end, text, language, terms, words

Collections of spaces and texts have names that are never used again, so what a client or a proxy remembers of one is
right. Ids go into expressions in an alphabet that means nothing there.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.errors import SpaceMismatch, StoreError
from footage.stores.texts import terms
from footage.types import MediaFile, Space, TimedText, Video, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from footage.types import Float32

FORMAT = 1
"""Version of this layout; another one is refused, not guessed at."""

SUMMARY = 128  # dimensions of a video's summary
MARK = "g"  # key of the row that is written with every change
WRITER = "w"  # how the key of a writer's row begins
TEXTS = "t"  # key of the row that tells where the timed texts lie
TIMES = ("start", "end", "at")
TEXT = ("video", "kind", "start", "end", "text", "language")
_LONGEST = 500  # bytes of a key; the field has a few more
_FACTS_BYTES = 60_000  # Milvus keeps 64 KiB in a field of JSON
_FEWEST_DIM = 2  # a vector of one dimension is refused


def spelled(name: str) -> str:
    """Write any name in letters, digits, dot and dash; different names stay different.

    Raises:
        StoreError: it is too long for the store.
    """
    plain = re.fullmatch(r"[A-Za-z0-9.-]+", name)
    out = name if plain else "_" + name.encode("utf-8", "surrogatepass").hex()
    if len(out) > _LONGEST:
        raise StoreError(f"a name of {len(name)} characters is too long for Milvus: {name[:40]}...")
    return out


def read_name(text: str) -> str:
    """The name that was spelled so."""
    return bytes.fromhex(text[1:]).decode("utf-8", "surrogatepass") if text.startswith("_") else text


def one_of(field: str, values: Iterable[str]) -> str:
    """An expression for rows whose field is one of these spelled names."""
    listed = ", ".join(f'"{value}"' for value in values)
    return f"{field} in [{listed}]"


def video_key(video_id: str) -> str:
    """The key of a video's row."""
    return "v" + spelled(video_id)


def space_key(name: str) -> str:
    """The key of a space's row."""
    return "s" + spelled(name)


def first_row(video_id: str) -> int:
    """The number of a video's first row in every space; the others follow it."""
    return int.from_bytes(hashlib.sha256(video_id.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 2


def new_collection(prefix: str, space: str) -> str:
    """A name for a new space's collection, which nothing had before."""
    return f"{prefix}space_{re.sub('[^A-Za-z0-9]', '_', space)[:40]}_{secrets.token_hex(4)}"


def new_texts(prefix: str) -> str:
    """A name for a new collection of timed texts, which nothing had before."""
    return f"{prefix}texts_{secrets.token_hex(4)}"


def width(space: Space) -> int:
    """The dimension of the field; what is beyond the space's own is 0."""
    return max(space.dim, _FEWEST_DIM)


def widened(vectors: Float32, to: int) -> Float32:
    """Vectors (n, dim) with zeros up to another width."""
    missing = to - vectors.shape[1]
    return vectors if missing <= 0 else np.pad(vectors, ((0, 0), (0, missing)))


def video_fields(schema: Any, types: Any) -> None:
    """The fields of the collection of videos."""
    schema.add_field("key", types.VARCHAR, max_length=512, is_primary=True)
    schema.add_field("committed", types.BOOL)
    schema.add_field("facts", types.JSON)
    schema.add_field("summary", types.FLOAT_VECTOR, dim=SUMMARY)


def sample_fields(schema: Any, types: Any, dim: int) -> None:
    """The fields of the collection of a space."""
    schema.add_field("pk", types.INT64, is_primary=True)
    schema.add_field("video", types.VARCHAR, max_length=512, is_partition_key=True)
    for name in TIMES:
        schema.add_field(name, types.DOUBLE)
    schema.add_field("vector", types.FLOAT_VECTOR, dim=dim)


def text_fields(schema: Any, types: Any, tokenizer: str) -> None:
    """The fields of the collection of timed texts; `words` is made by the server of `terms`."""
    schema.add_field("pk", types.INT64, is_primary=True)
    schema.add_field("video", types.VARCHAR, max_length=512, is_partition_key=True)
    schema.add_field("kind", types.VARCHAR, max_length=64)
    for name in ("start", "end"):
        schema.add_field(name, types.DOUBLE)
    schema.add_field("text", types.VARCHAR, max_length=65_535)
    schema.add_field("language", types.VARCHAR, max_length=64)
    analyzer = {"tokenizer": tokenizer}
    schema.add_field("terms", types.VARCHAR, max_length=65_535, enable_analyzer=True, analyzer_params=analyzer)
    schema.add_field("words", types.SPARSE_FLOAT_VECTOR)


def text_key(video_id: str, kind: str) -> int:
    """The number of the first text of this kind of a video; the others follow it."""
    return first_row(f"{video_id}\0{kind}")


def text_row(text: TimedText, pk: int) -> dict[str, Any]:
    """The row of a timed text."""
    row = {name: getattr(text, name) for name in ("start", "end", "text", "language")}
    # a text without words must have a term all the same; nobody asks for this one
    found = " ".join(terms(text.text)) or "-"
    return row | {"pk": pk, "video": spelled(text.video_id), "kind": spelled(text.kind), "terms": found}


def read_text(row: Mapping[str, Any]) -> TimedText:
    """The timed text of a row."""
    video_id, kind = read_name(row["video"]), read_name(row["kind"])
    return TimedText(video_id, float(row["start"]), float(row["end"]), row["text"], kind, row["language"])


def texts_row(collection: str) -> dict[str, Any]:
    """The row that makes the timed texts known."""
    return _row(TEXTS, {"format": FORMAT, "collection": collection}, committed=False)


@dataclass(frozen=True, slots=True)
class Place:
    """A space, and where it lies."""

    space: Space
    collection: str
    index: str
    order: int

    @property
    def row(self) -> dict[str, Any]:
        """The row that makes it known."""
        facts: dict[str, Any] = {"format": FORMAT, "collection": self.collection, "index": self.index}
        facts |= {"order": self.order, "name": self.space.name, "dim": self.space.dim}
        facts["answers"] = list(self.space.answers)
        if self.space.window is not None:
            facts["window"] = asdict(self.space.window)
        return _row(space_key(self.space.name), facts, committed=False)


def read_place(facts: Mapping[str, Any]) -> Place:
    """The space of a row.

    Raises:
        SpaceMismatch: another version of Footage wrote it.
    """
    if facts.get("format") != FORMAT:
        raise SpaceMismatch(
            f"the library has format {facts.get('format')} in Milvus, this Footage reads {FORMAT}",
            hint="use the version of Footage that made it, or index again into a new library",
        )
    window = Window(**facts["window"]) if "window" in facts else None
    space = Space(facts["name"], facts["dim"], tuple(facts["answers"]), window)
    return Place(space, facts["collection"], facts["index"], facts["order"])


def video_row(video: Video, summary: NDArray[Any]) -> dict[str, Any]:
    """The row of a committed video."""
    facts = asdict(video)
    size = len(repr(facts["files"]).encode("utf-8", "replace"))
    if size > _FACTS_BYTES:
        raise StoreError(
            f"a content with {len(video.files)} paths is more than Milvus keeps of one video: {video.path}",
            hint="leave out some of the copies, or use a Lance store",
        )
    return _row(video_key(video.id), facts, committed=True, summary=summary)


def read_video(facts: Mapping[str, Any]) -> Video:
    """The video of a row."""
    files = tuple(MediaFile(f["path"], int(f["size_bytes"]), int(f["mtime_ns"])) for f in facts["files"])
    values = {name: facts[name] for name in Video.__dataclass_fields__ if name in facts and name != "files"}
    floats = ("duration", "fps", "recorded_at", "indexed_at")  # JSON does not tell 3.0 from 3
    values |= {name: float(values[name]) for name in floats}
    if values.get("broken_at") is not None:
        values["broken_at"] = float(values["broken_at"])
    return Video(files=files, **values)


def pending_row(video_id: str) -> dict[str, Any]:
    """The row of a video whose samples are being written, or removed: what it has is swept."""
    return _row(video_key(video_id), {}, committed=False)


def change_row(written: int) -> dict[str, Any]:
    """The row that changes with all others; `written` is the server's time of the samples before."""
    return _row(MARK, {"change": secrets.token_hex(8), "written": written}, committed=False)


def writer_key(writer: str, beat: int) -> str:
    """The key of one beat of a writer."""
    return f"{WRITER}{writer}.{beat}"


def writer_row(writer: str, beat: int, *, held: bool) -> dict[str, Any]:
    """The row of a process that writes (`held`), or asks whether it may."""
    facts = {"writer": writer, "beat": beat, "held": held}
    return _row(writer_key(writer, beat), facts, committed=False)


def _row(key: str, facts: dict[str, Any], *, committed: bool, summary: NDArray[Any] | None = None) -> dict[str, Any]:
    vector = [0.0] * SUMMARY if summary is None else summary.tolist()
    return {"key": key, "committed": committed, "facts": facts, "summary": vector}


def summarised(mean: NDArray[Any]) -> NDArray[Any]:
    """A video's mean sample (dim,) in `SUMMARY` dimensions, of length 1: a random projection keeps cosines roughly.

    Johnson and Lindenstrauss 1984; a mean that is short enough is kept as it is.
    """
    dim = len(mean)
    if dim <= SUMMARY:
        out = np.pad(mean, (0, SUMMARY - dim))
    else:
        out = mean @ np.random.default_rng(dim).standard_normal((dim, SUMMARY))
    length = float(np.linalg.norm(out))
    return out / length if length > 0 else out
