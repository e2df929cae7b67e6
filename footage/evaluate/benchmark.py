"""Ask a library everything that a benchmark has: copies, labelled clips, captions."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from footage.errors import ConfigError, MediaError
from footage.evaluate import metrics, scoring
from footage.evaluate.scoring import Answered, Figures, Found
from footage.search import MAX_RESULTS, Part
from footage.types import spaces_of

if TYPE_CHECKING:
    from footage.encoders import Encoder
    from footage.evaluate.making import CopySet, Told
    from footage.types import Match, Moment, Roles

SURE = 0.5
"""The probability from which a match counts as claimed."""
_GALLERY, _QUERY = ("gallery", "train", "index"), ("query", "test", "val")


class Searching(Protocol):
    """What a library must do to be asked; `Library` does."""

    def search(
        self, text: str | None = None, *, parts: Sequence[Part] = (), k: int = 10, per_video: int = 3
    ) -> list[Moment]:
        """The moments that answer, best first."""
        ...


# ------------------------------------------------------------------------------------------------------ copies


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What was measured on a copy benchmark."""

    copies: CopySet
    system: Figures | None  # None: this library cannot search copies
    baselines: tuple[Figures, ...]
    answers: dict[str, list[Answered]]  # by name of the method
    failed: tuple[str, ...] = ()  # queries that raised an error

    def as_dict(self) -> dict[str, Any]:
        """The object of `footage eval copies --json`."""
        return {
            **_headline(self.system),
            "baselines": {figures.name: {**_headline(figures), **_more(figures)} for figures in self.baselines},
            **_more(self.system),
        }


def _headline(figures: Figures | None) -> dict[str, Any]:
    names = "micro_ap", "micro_ap_strong", "segment_f1", "edge_error_s", "false_matches", "pairs"
    if figures is None:
        return dict.fromkeys(names)
    values = (
        round(figures.micro_ap, 4),
        round(figures.per_level["strong"], 4) if "strong" in figures.per_level else None,
        round(figures.segment_f1, 4) if figures.timed else None,
        round(figures.edge_error, 4) if figures.edge_error is not None else None,
        figures.false_matches,
        figures.pairs,
    )
    return dict(zip(names, values, strict=True))


def _more(figures: Figures | None) -> dict[str, Any]:
    """What stands behind the headline; null is what a method without times cannot have."""
    names = ("recall_at_rate", "segment_precision", "segment_recall", "edge_error_frames",
             "micro_ap_interval", "segment_f1_interval", "per_level", "per_attack")  # fmt: skip
    if figures is None:
        return dict.fromkeys(names)
    values = figures.as_dict()
    return {name: values[name] if figures.timed or not name.startswith("segment") else None for name in names}


def copy_search(
    copies: CopySet,
    find: Callable[[str], Iterable[Match]] | None,
    encoder: Encoder | None,
    roles: Roles,
    told: Told,
    *,
    workers: int = 2,
) -> CopyResult:
    """Measure a copy search and the baselines on a benchmark.

    `find` gives the matches of a query clip in a library that has all references; `encoder` and `roles` are that
    library's, of which the mean vector is made (None: no baselines).
    """
    from footage.evaluate import baselines

    figures: list[Figures] = []
    answers: dict[str, list[Answered]] = {}
    system: Figures | None = None
    failed: list[str] = []
    if find is not None:
        started = time.monotonic()
        answers["footage"] = _ask(copies, find, told, failed)
        took = time.monotonic() - started
        system = scoring.measure("footage", copies, answers["footage"], threshold=SURE, seconds=took, timed=True)
    if encoder is not None:
        space = max(spaces_of(roles, "image").items(), key=lambda item: item[1])[0]
        for name, (found, seconds) in baselines.answers(copies, encoder, space, told, workers=workers).items():
            answers[name] = found
            figures.append(scoring.measure(name, copies, found, seconds=seconds))
    return CopyResult(copies, system, tuple(figures), answers, tuple(failed))


def _ask(copies: CopySet, find: Callable[[str], Iterable[Match]], told: Told, failed: list[str]) -> list[Answered]:
    known = set(copies.references)
    out: list[Answered] = []
    for number, made in enumerate(copies.queries, 1):
        try:
            matches = list(find(made.path))
        except MediaError as error:
            failed.append(f"{made.path}: {error}")
            matches = []
        out.append(Answered(made, tuple(_found(match, known) for match in matches)))
        told("copies", number, len(copies.queries))
    return out


def _found(match: Match, known: set[str]) -> Found:
    paths = [str(Path(f.path)) for f in match.video.files]
    path = next((p for p in paths if p in known), match.video.path)
    box = match.query_start, match.query_end, match.start, match.end
    # The probability decides; where it is the same (a sure match is 1.0), the score puts one before the other.
    return Found(path, box, match.probability + 1e-6 * float(np.tanh(match.score)))


# --------------------------------------------------------------------------------------------------- retrieval


@dataclass(frozen=True, slots=True)
class Clip:
    """A labelled clip."""

    path: str
    label: str
    split: str  # "gallery", "query", or "both" where each is left out in turn


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """How well clips find others of their label."""

    k: int
    queries: int
    recall_at_k: dict[int, float]
    mhr_at_k: dict[int, float]
    map_all_ranks: float
    map_hit_ranks: float
    interval: tuple[float, float]  # of recall at the largest k
    per_class: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    failed: tuple[str, ...] = ()
    answers: tuple[tuple[Clip, tuple[Clip, ...]], ...] = ()  # each query and what was found first

    def as_dict(self) -> dict[str, Any]:
        """The object of `footage eval retrieval --json`."""
        return {
            "recall_at_k": {str(k): round(v, 4) for k, v in self.recall_at_k.items()},
            "mhr_at_k": {str(k): round(v, 4) for k, v in self.mhr_at_k.items()},
            "map_all_ranks": round(self.map_all_ranks, 4),
            "map_hit_ranks": round(self.map_hit_ranks, 4),
            "per_class": {
                label: {name: round(value, 4) for name, value in row.items()} for label, row in self.per_class.items()
            },
        }


def labelled(source: str | Path, videos: Callable[[Path], Iterable[str]]) -> list[Clip]:
    """Read labelled clips: from a CSV file (path, label and perhaps split), or from a folder with one folder a label.

    A folder that has `gallery` and `query` (or `train` and `test`) in it is split so; else, and without the column,
    every clip is left out in turn. `videos` lists the video files below a folder.

    Raises:
        ConfigError: nothing labelled is there.
    """
    source = Path(source)
    clips = _from_csv(source) if source.is_file() else _from_folder(source, videos)
    if len({c.label for c in clips}) < 2:
        raise ConfigError(
            f"no clips of at least two labels: {source}",
            hint="give a folder with a folder for each label, or a CSV file with the columns path and label",
        )
    if not any(c.split != "gallery" for c in clips) or not any(c.split != "query" for c in clips):
        raise ConfigError(f"a split needs both sides, gallery and query: {source}")
    return clips


def _from_csv(path: Path) -> list[Clip]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    if rows and not {"path", "label"} <= set(rows[0]):
        raise ConfigError(f"no columns path and label: {path}", hint=f"it has: {', '.join(rows[0])}")
    return [
        Clip(str((path.parent / r["path"]).absolute()), r["label"], _side(r.get("split") or ""))
        for r in rows
        if r["path"] and r["label"]
    ]


def _side(name: str) -> str:
    if not name:
        return "both"
    for side, names in (("gallery", _GALLERY), ("query", _QUERY)):
        if name.lower() in names:
            return side
    raise ConfigError(f"unknown split: {name}", hint=f"one of: {', '.join((*_GALLERY, *_QUERY))}")


def _from_folder(folder: Path, videos: Callable[[Path], Iterable[str]]) -> list[Clip]:
    if not folder.is_dir():
        raise ConfigError(f"no such folder or file: {folder}")
    names = {p.name.lower(): p for p in folder.iterdir() if p.is_dir()}
    sides = [(side, names[n]) for side, some in (("gallery", _GALLERY), ("query", _QUERY)) for n in some if n in names]
    split = len({side for side, _ in sides}) == 2
    found = [(side, path) for side, where in sides for path in videos(where)] if split else []
    found = found or [("both", path) for path in videos(folder)]
    clips = [Clip(str(Path(path).absolute()), Path(path).parent.name, side) for side, path in found]
    return [c for c in clips if Path(c.path).parent != folder.absolute()]


def retrieval(
    library: Searching, clips: Sequence[Clip], told: Told, *, ks: Sequence[int] = (1, 5, 10)
) -> RetrievalResult:
    """Ask a library that has all clips but the queries of a split for more of the kind that each query shows.

    A clip that is left out is not an answer to itself, and neither is another file with the same content.
    """
    label_of = {c.path: c.label for c in clips if c.split != "query"}
    queries = [c for c in clips if c.split != "gallery"]
    deepest = max(ks)
    rows: list[_Row] = []
    failed: list[str] = []
    for number, clip in enumerate(queries, 1):
        try:
            part = Part("video", clip.path, like="kind")
            moments = library.search(parts=[part], k=min(deepest + 8, MAX_RESULTS), per_video=1)
        except MediaError as error:
            failed.append(f"{clip.path}: {error}")
            moments = []
        # A file with two paths has one label: that of the first path which has any.
        others = [m.video for m in moments if clip.path not in {str(Path(f.path)) for f in m.video.files}]
        labels = [next((label_of[p] for f in v.files if (p := str(Path(f.path))) in label_of), "") for v in others]
        # A list that ends early has nothing right on the ranks that it does not fill.
        right = np.zeros(min(deepest, len(label_of.keys() - {clip.path})), np.bool_)
        for rank, label in enumerate(labels[: len(right)]):
            right[rank] = label == clip.label
        total = sum(label == clip.label for path, label in label_of.items() if path != clip.path)
        first = tuple(Clip(v.path, lab, "gallery") for v, lab in zip(others[:deepest], labels, strict=False))
        rows.append(_Row(clip, first, right, total))
        told("queries", number, len(queries))
    rows = [row for row in rows if row.total]  # nobody can find more of a kind of one
    if not rows:
        raise ConfigError("no query has another clip of its label", hint="give two clips or more of each label")
    return RetrievalResult(
        deepest,
        len(rows),
        {k: _mean(rows, lambda r, k=k: metrics.recall_at(r.right, k)) for k in ks},
        {k: _mean(rows, lambda r, k=k: metrics.hit_ratio_at(r.right, k, r.total)) for k in ks},
        _mean(rows, lambda r: metrics.ap_all_ranks(r.right)),
        _mean(rows, lambda r: metrics.ap_hit_ranks(r.right)),
        metrics.bootstrap(rows, lambda some: _mean(some, lambda r: metrics.recall_at(r.right, deepest))),
        {
            label: {
                "queries": float(len(part)),
                "recall": _mean(part, lambda r: metrics.recall_at(r.right, deepest)),
                "mhr": _mean(part, lambda r: metrics.hit_ratio_at(r.right, deepest, r.total)),
                "map_hit_ranks": _mean(part, lambda r: metrics.ap_hit_ranks(r.right)),
            }
            for label in sorted({r.clip.label for r in rows})
            if (part := [r for r in rows if r.clip.label == label])
        },
        tuple(failed),
        tuple((r.clip, r.first) for r in rows),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    clip: Clip
    first: tuple[Clip, ...]
    right: metrics.Bools
    total: int


def _mean(rows: Sequence[_Row], measure: Callable[[_Row], float]) -> float:
    return float(np.mean([measure(row) for row in rows]))


# -------------------------------------------------------------------------------------------------------- text


@dataclass(frozen=True, slots=True)
class TextResult:
    """How well captions find their video."""

    captions: int
    videos: int
    r1: float
    r5: float
    r10: float
    median_rank: float
    interval: tuple[float, float]  # of r10
    ranks: tuple[tuple[str, str, int, str], ...] = ()  # (path, caption, rank, path of what was found first)

    def as_dict(self) -> dict[str, Any]:
        """The object of `footage eval text --json`."""
        return {name: round(getattr(self, name), 4) for name in ("r1", "r5", "r10", "median_rank")}


def captions(source: str | Path, name: str = "captions") -> list[tuple[str, str]]:
    """Read (path, caption) pairs from a file with one JSON object a line: `path` (or `video`), and one caption or a
    list of them under `name` (or `caption`). Lines with no caption are left out.

    Raises:
        ConfigError: it cannot be read, or a line is something else.
    """
    source = Path(source)
    out: list[tuple[str, str]] = []
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {source}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: dict[str, Any] = json.loads(line)
            said = row[name] if name in row else row["caption"]
            said = [said] if isinstance(said, str) else list(said)
            path = str((source.parent / (row["path"] if "path" in row else row["video"])).absolute())
            out += [(path, str(text)) for text in said if str(text).strip()]
        except (ValueError, KeyError, TypeError, AttributeError):
            hint = 'such as {"path": "clip.mp4", "captions": ["a dog runs"]}'
            raise ConfigError(f"not an object with path and captions: line {number} of {source}", hint=hint) from None
    if not out:
        raise ConfigError(f"no captions in {source}")
    return out


def text_search(library: Searching, pairs: Sequence[tuple[str, str]], videos: int, told: Told) -> TextResult:
    """Ask a library of `videos` videos each caption.

    The rank of a video that is not answered is behind them all, and so is that of one behind the first thousand.
    """
    rows: list[tuple[str, str, int, str]] = []
    for number, (path, caption) in enumerate(pairs, 1):
        moments = library.search(caption, k=min(videos, MAX_RESULTS), per_video=1)
        at = [n for n, m in enumerate(moments, 1) if path in {str(Path(f.path)) for f in m.video.files}]
        rows.append((path, caption, at[0] if at else videos + 1, moments[0].video.path if moments else ""))
        told("captions", number, len(pairs))
    figures = metrics.text_ranks([row[2] for row in rows])
    interval = metrics.bootstrap([row[2] for row in rows], lambda r: metrics.text_ranks(r)["r10"])
    return TextResult(len(rows), videos, **figures, interval=interval, ranks=tuple(rows))
