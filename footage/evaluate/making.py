"""Make a copy benchmark from videos: references, attacked copies and queries without an answer, with the truth."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from footage.errors import ConfigError
from footage.evaluate import drawing, material, plans, timeline
from footage.evaluate.attacks import LEVELS
from footage.evaluate.material import Known
from footage.evaluate.pictures import At, even
from footage.evaluate.plans import Plan, Pool
from footage.evaluate.timeline import Piece, Row
from footage.media.write import SOUND_RATE, Writer, pictures_from, sound_of
from footage.pipeline import stage

if TYPE_CHECKING:
    from footage.types import Float32, UInt8

T = TypeVar("T")
R = TypeVar("R")
Told = Callable[[str, int, int], None]
"""Called with what is done now, how many are done, of how many."""

VERSION = 3
"""Of the definition of the benchmark: figures of two versions are not to be compared."""
_DONE = "set.json"
_LEAST = 4  # videos that a benchmark can be made from
_RATE = 25


@dataclass(frozen=True, slots=True)
class MakeSettings:
    """How large a benchmark is.

    Raises ConfigError: it has too few queries or references to say anything, or its queries no length.
    """

    seed: int = 1
    references: int = 80  # at most
    queries: int = 130
    unanswered: float = 0.28  # share of the queries without a true answer
    planted: float = 0.2  # share of the references with shared material in them
    seconds: tuple[float, float] = (5.0, 20.0)  # of a query, about
    max_side: int = 480  # pixels of a copy
    workers: int = 2

    def __post_init__(self) -> None:
        if self.queries < 4 or self.references < 3:
            raise ConfigError(
                f"{self.queries} queries and {self.references} references are too few", hint="4 and 3 are the least"
            )
        if not 1 <= self.seconds[0] < self.seconds[1]:
            raise ConfigError(f"queries cannot be {self.seconds[0]:g} to {self.seconds[1]:g} s long")


@dataclass(frozen=True, slots=True)
class Made:
    """One query and what is true of it."""

    path: str
    kind: str  # "copy" or one of `plans.UNANSWERED`
    level: str  # "" of what has no answer
    attacks: tuple[str, ...]
    rate: int  # frames per second
    rows: tuple[Row, ...]

    def as_dict(self) -> dict[str, Any]:
        """One line of truth.jsonl."""
        return {
            **{"query": self.path, "kind": self.kind, "level": self.level, "attacks": list(self.attacks)},
            **{"rate": self.rate, "rows": [row.as_dict() for row in self.rows]},
        }

    @classmethod
    def of(cls, row: dict[str, Any]) -> Made:
        """Read a line of truth.jsonl."""
        rows = tuple(Row(**r) for r in row["rows"])
        return cls(row["query"], row["kind"], row["level"], tuple(row["attacks"]), row["rate"], rows)


@dataclass(frozen=True, slots=True)
class CopySet:
    """A benchmark on disk: what goes into the library, and what is asked."""

    references: tuple[str, ...]
    queries: tuple[Made, ...]
    left_out: tuple[str, ...]  # natural copies of references, and what cannot be read


def make(
    videos: Iterable[str | Path], folder: str | Path, settings: MakeSettings | None = None, told: Told | None = None
) -> CopySet:
    """Make a benchmark in `folder`; the given videos are read only, and stay where they are.

    The same videos, settings and version of libav give the same files. `truth.jsonl` has a line for each query. What
    was made there before of the same is read, and not made again.

    Raises:
        ConfigError: too few of the videos can be used, or the folder holds another benchmark.
    """
    settings = settings or MakeSettings()
    told = told or (lambda _what, _done, _of: None)
    folder = Path(folder)
    paths = sorted({str(Path(v).absolute()) for v in videos})
    wanted = {name: value for name, value in asdict(settings).items() if name != "workers"}
    asked = {"version": VERSION, "settings": wanted, "videos": paths}
    if (folder / _DONE).exists():
        return _read(folder, asked)
    for name in ("material", "references", "queries"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    known, left_out = _known(paths, settings, told)
    references, unseen = _divided(known, settings)
    pool = _pool(references, unseen, folder / "material", settings)
    pool = replace(pool, references=_planted(pool, folder / "references", settings, told))
    queries = plans.queries(settings.seed, pool, settings.queries, settings.unanswered)
    made = list(_parallel(queries, lambda p: _query(p, folder / "queries"), "queries", settings.workers, told))
    made.sort(key=lambda m: m.path)
    lines = "".join(json.dumps(m.as_dict(), ensure_ascii=False) + "\n" for m in made)
    (folder / "truth.jsonl").write_text(lines, encoding="utf-8")
    copies = CopySet(tuple(v.path for v in pool.references), tuple(made), tuple(sorted(left_out)))
    done = {"asked": asked, "references": copies.references, "left_out": copies.left_out}
    (folder / _DONE).write_text(json.dumps(done, ensure_ascii=False, indent=1), encoding="utf-8")
    return copies


def _read(folder: Path, asked: dict[str, Any]) -> CopySet:
    """What was made before, if it is what is asked for now."""
    try:
        done = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        rows = [json.loads(line) for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
        if done["asked"] == json.loads(json.dumps(asked)):
            return CopySet(tuple(done["references"]), tuple(Made.of(row) for row in rows), tuple(done["left_out"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"cannot read the benchmark in {folder}: {error}", hint="delete the folder") from None
    raise ConfigError(
        f"the folder holds another benchmark: {folder}",
        hint="it was made of other videos, with another seed, or by another version; name another folder",
    )


def _parallel(
    items: Sequence[T], work: Callable[[T], R], what: str, workers: int, told: Told
) -> Generator[R, None, None]:
    done = 0
    with closing(stage(items, lambda item, _beat: [work(item)], stop=threading.Event(), workers=workers)) as results:
        for result in results:
            done += 1
            told(what, done, len(items))
            yield result


def _known(paths: Sequence[str], settings: MakeSettings, told: Told) -> tuple[list[Known], list[str]]:
    """Look at a draw of the videos, some more than are needed; leave out what is broken or there twice."""
    order = np.random.default_rng((settings.seed, 0)).permutation(len(paths))
    drawn = [paths[int(i)] for i in order[: 2 * settings.references + 10]]
    found: dict[str, Known | None] = dict(
        _parallel(drawn, lambda p: (p, material.look(p)), "videos looked at", settings.workers, told)
    )
    usable = [k for p in drawn if (k := found[p]) is not None]
    again = {i for group in material.twins(usable) for i in group[1:]}
    left_out = [p for p in drawn if found[p] is None] + [usable[i].path for i in again]
    kept = [k for i, k in enumerate(usable) if i not in again]
    if len(kept) < _LEAST:
        raise ConfigError(
            f"{len(kept)} of the videos can be used, but {_LEAST} are needed",
            hint=f"give more that differ, {material.SHORTEST:g} s or longer, and whole",
        )
    return kept, left_out


def _divided(known: list[Known], settings: MakeSettings) -> tuple[list[Known], list[Known]]:
    """References, and videos that the library does not get; for other takes, of every large folder some."""
    unseen = max(2, round(len(known) * 0.25))
    by_folder: dict[str, list[Known]] = {}
    for video in known:
        by_folder.setdefault(str(Path(video.path).parent), []).append(video)
    ranked = sorted(by_folder.values(), key=len, reverse=True)
    held: list[Known] = []
    for turn in range(max(len(f) for f in ranked)):
        held += [f[turn] for f in ranked if turn < len(f) // 3]
    held = (held + [v for v in known if v not in held])[:unseen]
    rest = [v for v in known if v not in held]
    return rest[: settings.references], held


def _pool(references: list[Known], unseen: list[Known], folder: Path, settings: MakeSettings) -> Pool:
    """Make what is shared: a black start, a test card and an intro; and static screens."""
    r = np.random.default_rng((settings.seed, 4))
    size = plans.fitted((640, 360), settings.max_side)
    # The intro is a real excerpt under a title; its video serves for nothing else.
    source = max(unseen, key=lambda v: min(v.duration, 4.0))
    rest = [v for v in unseen if v is not source] or unseen
    opening = plans.excerpt(r, source, _RATE, (3.0, 4.0), known=False)
    title = drawing.lettered(*size, "EVENING\nNEWS", 0.2, (0.5, 0.5), settings.seed)
    intro = (drawing.laid_over(p, title) for p in _pictures(opening, size, _RATE))
    shared = {
        "black": _still(np.zeros((size[1], size[0], 3), np.uint8), folder / "black.mp4", 3.0),
        "card": _still(drawing.test_card(*size), folder / "card.mp4", 4.0),
        "intro": _asset(intro, folder / "intro.mp4"),
    }
    words = ("please stand by", "the programme\nwill resume shortly", "coming up next")
    screens = [
        _still(drawing.slide(*size, text, settings.seed * 10 + i), folder / f"screen{i}.mp4", 3.0)
        for i, text in enumerate(words)
    ]
    return Pool(references, rest, shared, screens, settings.seed, settings.max_side, settings.seconds)


def _still(picture: UInt8, path: Path, seconds: float) -> Known:
    return _asset((picture for _ in range(round(seconds * _RATE))), path)


def _asset(pictures: Iterator[UInt8], path: Path) -> Known:
    count = 0
    writer: Writer | None = None
    size = (0, 0)
    for picture in pictures:
        if writer is None:
            size = picture.shape[1], picture.shape[0]
            writer = Writer(path, size, Fraction(_RATE))
        writer.picture(picture)
        count += 1
    if writer is not None:
        writer.close()
    return Known(str(path), count / _RATE, size, _RATE, np.zeros(0), np.zeros((0, 144), np.float32), False)


def _planted(pool: Pool, folder: Path, settings: MakeSettings, told: Told) -> list[Known]:
    """The references, some of them rendered anew with shared material in them."""
    r = np.random.default_rng((settings.seed, 5))
    out = list(pool.references)
    wanted = plans.references(r, out, pool, settings.planted)

    def render_one(item: tuple[int, Plan, float]) -> tuple[int, Known]:
        index, plan, lead = item
        path = render(plan, folder)
        old = out[index]
        moved = replace(
            old, path=str(path), at=old.at + lead, duration=timeline.length(plan.pieces) / plan.rate, lead=lead
        )
        return index, replace(moved, size=plan.size, fps=plan.rate)

    for index, video in _parallel(wanted, render_one, "references", settings.workers, told):
        out[index] = video
    return out


def _query(plan: Plan, folder: Path) -> Made:
    path = render(plan, folder)
    level = LEVELS[plan.level] if plan.kind == "copy" else ""
    return Made(str(path), plan.kind, level, plan.attacks, plan.rate, plan.rows)


def render(plan: Plan, folder: Path) -> Path:
    """Render a plan to a file in `folder`, one picture at a time."""
    path = folder / f"{plan.name}{plan.coding.suffix}"
    count = timeline.length(plan.pieces)
    frames = (picture for piece in plan.pieces for picture in _pictures(piece, plan.size, plan.rate))
    behind = _pictures(plan.behind, plan.size, plan.rate) if plan.behind else iter(())
    shown = timeline.held(count, plan.dropped)
    last: UInt8 | None = None
    other: UInt8 | None = None
    sound = _heard(plan)
    writer: Writer | None = None
    for index, picture in enumerate(frames):
        last = picture if shown[index] == index or last is None else last
        other = next(behind, other)
        out = last
        at = At(index, index / max(1, count - 1), other)
        for effect in plan.effects:
            out = effect(out, at)
        out = even(out)
        if writer is None:
            size = out.shape[1], out.shape[0]
            writer = Writer(path, size, Fraction(plan.rate), plan.coding, sound=sound is not None)
        writer.picture(out)
        if sound is not None and (index + 1) % plan.rate == 0:
            writer.sound(sound[index // plan.rate * SOUND_RATE :][:SOUND_RATE])
    if writer is not None:
        if sound is not None:
            writer.sound(sound[count // plan.rate * SOUND_RATE : round(count / plan.rate * SOUND_RATE)])
        writer.close()
    return path


def _pictures(piece: Piece, size: tuple[int, int], rate: int) -> Generator[UInt8]:
    """The frames of a piece: of each time, the one that is shown then. Where the video ends early, its last stays."""
    with closing(pictures_from(piece.source, piece.start, size)) as source:
        now = next(source, None)
        if now is None:
            return
        ahead = next(source, None)
        for time in timeline.times(piece, rate):
            while ahead is not None and ahead[0] <= time + 1e-3:
                now, ahead = ahead, next(source, None)
            yield now[1]


def _heard(plan: Plan) -> Float32 | None:
    """The sound of a plan; None where no piece has any."""
    pieces = (plan.sound,) if plan.sound else plan.pieces
    sounds = [_sound(piece, plan.rate) for piece in pieces]
    if all(sound is None for sound in sounds):
        return None
    lengths = [round(piece.frames / plan.rate * SOUND_RATE) for piece in pieces]
    return np.concatenate([np.zeros(n, np.float32) if s is None else s for s, n in zip(sounds, lengths, strict=True)])


def _sound(piece: Piece, rate: int) -> Float32 | None:
    """The sound of a piece, played at its speed."""
    seconds = piece.frames / rate
    heard = sound_of(piece.source, piece.start, piece.start + seconds * piece.speed)
    if heard is None:
        return None
    at = np.arange(round(seconds * SOUND_RATE)) * piece.speed
    if piece.speed == 1:
        return heard[: len(at)]
    return np.interp(at, np.arange(len(heard)), heard).astype(np.float32)
