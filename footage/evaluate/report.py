"""The figures as one HTML page: curves, and the worst failures as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from footage.evaluate import drawn, metrics, scoring

if TYPE_CHECKING:
    from footage.evaluate.benchmark import CopyResult, RetrievalResult, TextResult
    from footage.evaluate.scoring import Answered, Figures

_SHOWN = 12  # failures of a kind

_WHAT = {
    "footage": "footage",
    "vpdq": "vPDQ",
    "mean_vector": "mean vector",
}


def copy_page(result: CopyResult, about: str) -> str:
    """The page of `footage eval copies`. The copies must still be on disk."""
    methods = [*([result.system] if result.system else []), *result.baselines]
    copies = [a for a in result.copies.queries if a.rows]
    body = [
        drawn.section(
            "Figures",
            drawn.grid(_PAIR_TITLES, [_pair_row(f) for f in methods]),
            drawn.grid(_SEGMENT_TITLES, [_segment_row(f) for f in methods if f.timed]),
            about="Segments are compared by the rule of VCSL at the threshold of each method: a probability of 0.5 for "
            "footage, for the others the one that serves them best. vPDQ: the share of frames whose PDQ hash has a "
            "partner; mean vector: one for each video.",
        ),
        drawn.section(
            "Pairs of a query and a video",
            '<div class="row">' + _pair_curves(result) + _level_bars(methods) + "</div>",
            about="Precision over recall as the threshold falls, and micro-AP by strength of the attack.",
        ),
    ]
    for figures in methods[:1]:
        answers = result.answers[figures.name]
        rows = {name: (row["micro_ap"], row["segment_f1"]) for name, row in figures.per_attack.items()}
        body.append(drawn.section(f"By attack: {figures.name}", drawn.bars(rows, ("micro-AP", "segment F1"))))
        body.append(drawn.section("Copies that were missed", _missed(answers, figures.threshold)))
        body.append(drawn.section("Matches that are false", _false(answers, figures.threshold)))
        body.append(drawn.section("Edges that were missed by most", _edges(answers, figures.threshold)))
    counts = (
        f"{len(result.copies.references)} references, {len(copies)} attacked copies, "
        f"{len(result.copies.queries) - len(copies)} queries without an answer; {about}"
    )
    return drawn.page("Copy search", counts, "\n".join(body))


# Two tables, since one with all of it is wider than a page.
_PAIR_TITLES = ("pairs", "micro-AP", "95 %", "light", "medium", "strong", "R at 1/1000", "false pairs")
_SEGMENT_TITLES = ("segments", "precision", "recall", "F1", "95 %", "F1 by pair", "edge error", "in frames")


def _pair_row(f: Figures) -> list[str]:
    return [
        _WHAT.get(f.name, f.name),
        f"{f.micro_ap:.3f}",
        "{:.2f}-{:.2f}".format(*f.micro_ap_interval),
        *(f"{f.per_level[level]:.3f}" if level in f.per_level else "-" for level in ("light", "medium", "strong")),
        f"{f.recall_at_rate:.3f}",
        f"{f.false_matches} of {f.pairs}",
    ]


def _segment_row(f: Figures) -> list[str]:
    return [
        _WHAT.get(f.name, f.name),
        *(f"{value:.3f}" for value in (f.segment_precision, f.segment_recall, f.segment_f1)),
        "{:.2f}-{:.2f}".format(*f.segment_f1_interval),
        f"{f.segment_f1_by_pair:.3f}",
        f"{f.edge_error:.3f} s" if f.edge_error is not None else "-",
        f"{f.edge_error_frames:.1f}" if f.edge_error_frames is not None else "-",
    ]


def _pair_curves(result: CopyResult) -> str:
    named: dict[str, list[tuple[float, float]]] = {}
    for name, answers in result.answers.items():
        precision, recall, _ = metrics.curve(*scoring.pairs_of(answers))
        points = [(0.0, 1.0), *((float(r), float(p)) for p, r in zip(precision, recall, strict=True))]
        named[_WHAT.get(name, name)] = points
    return drawn.curves(named, "recall", "precision")


def _level_bars(methods: Sequence[Figures]) -> str:
    levels = ("light", "medium", "strong")
    rows = {level: [f.per_level.get(level, 0.0) for f in methods] for level in levels}
    return drawn.bars(rows, [_WHAT.get(f.name, f.name) for f in methods])


def _missed(answers: Sequence[Answered], threshold: float) -> str:
    """True pairs below the threshold, the lowest first."""
    worst: list[tuple[float, Answered, str]] = []
    for answer in answers:
        scores = answer.best()
        worst += [(s, answer, p) for p in answer.true_paths if (s := scores.get(p, -np.inf)) < threshold]
    worst.sort(key=lambda w: (w[0], w[1].made.path, w[2]))
    made: list[str] = []
    for score, answer, path in worst[:_SHOWN]:
        row = max((r for r in answer.made.rows if r.path == path), key=lambda r: r.query_end - r.query_start)
        q, v = (row.query_start + row.query_end) / 2, (row.start + row.end) / 2
        made.append(
            drawn.card(
                f"{', '.join(answer.made.attacks) or 'no attack'} ({answer.made.level})",
                (drawn.thumbnail(answer.made.path, q), f"{Path(answer.made.path).name} at {q:.2f} s"),
                (drawn.thumbnail(path, v), f"{Path(path).name} at {v:.2f} s"),
                "not found at all" if score == -np.inf else f"score {score:.3f}",
            )
        )
    more = f"<p>{len(worst)} in all.</p>" if len(worst) > _SHOWN else ""
    return drawn.cards(made) + more


def _false(answers: Sequence[Answered], threshold: float) -> str:
    """Pairs at or above the threshold that are not true, the highest first."""
    found = [(f, a) for a in answers for f in a.found if f.score >= threshold and f.path not in a.true_paths]
    found.sort(key=lambda pair: (-pair[0].score, pair[1].made.path, pair[0].path))
    made: list[str] = []
    for f, answer in found[:_SHOWN]:
        q, v = ((f.box[0] + f.box[1]) / 2, (f.box[2] + f.box[3]) / 2) if f.box else (1.0, 1.0)
        note = f"score {f.score:.3f}" + (
            f"; {f.box[0]:.2f}-{f.box[1]:.2f} s as {f.box[2]:.2f}-{f.box[3]:.2f} s" if f.box else ""
        )
        made.append(
            drawn.card(
                f"{answer.made.kind}: {', '.join(answer.made.attacks)}",
                (drawn.thumbnail(answer.made.path, q), f"{Path(answer.made.path).name} at {q:.2f} s"),
                (drawn.thumbnail(f.path, v), f"{Path(f.path).name} at {v:.2f} s"),
                note,
            )
        )
    return drawn.cards(made)


def _edges(answers: Sequence[Answered], threshold: float) -> str:
    """Found segments whose edges are off by most."""
    worst: list[tuple[float, str]] = []
    rows: dict[str, list[str]] = {}
    for answer in answers:
        for row in answer.made.rows:
            true = (row.query_start, row.query_end, row.start, row.end)
            claimed = [f.box for f in answer.found if f.path == row.path and f.score >= threshold and f.box]
            for missed in metrics.edges(claimed, [true]):
                key = f"{answer.made.path}|{row.path}|{row.query_start}"
                worst.append((max(missed), key))
                rows[key] = [
                    Path(answer.made.path).name,
                    Path(row.path).name,
                    ", ".join(answer.made.attacks),
                    f"{true[0]:.2f}-{true[1]:.2f}",
                    f"{true[2]:.2f}-{true[3]:.2f}",
                    *(f"{m:.2f}" for m in missed),
                ]
    worst.sort(reverse=True)
    if not worst:
        return "<p>None.</p>"
    titles = ("query", "video", "attacks", "true, query", "true, video", "query start", "query end", "start", "end")
    return drawn.grid(titles, [rows[key] for _, key in worst[:_SHOWN]])


def retrieval_page(result: RetrievalResult, about: str) -> str:
    """The page of `footage eval retrieval`."""
    low, high = result.interval
    rows = [(str(k), f"{result.recall_at_k[k]:.3f}", f"{result.mhr_at_k[k]:.3f}") for k in sorted(result.recall_at_k)]
    deepest = float(result.k)
    lines = {
        name: [(float(k), values[k]) for k in sorted(values)]
        for name, values in (("recall@k", result.recall_at_k), ("mHR@k", result.mhr_at_k))
    }
    classes = {label: (row["recall"], row["mhr"]) for label, row in result.per_class.items()}
    wrong = [(q, first) for q, first in result.answers if first and first[0].label != q.label]
    made = [
        drawn.card(
            f"{q.label}: found {first[0].label or 'another'}",
            (drawn.thumbnail(q.path, 1.0), Path(q.path).name),
            (drawn.thumbnail(first[0].path, 1.0), Path(first[0].path).name),
            "in the list: " + ", ".join(c.label or "?" for c in first),
        )
        for q, first in wrong[:_SHOWN]
    ]
    body = [
        drawn.section("Figures", drawn.grid(("k", "recall@k", "mHR@k"), rows)),
        f"<p>mAP over all ranks {result.map_all_ranks:.3f}, over hit ranks {result.map_hit_ranks:.3f}; "
        f"recall@{result.k} lies in {low:.3f}-{high:.3f} with 95 % confidence.</p>",
        drawn.section(
            "By depth and by label",
            '<div class="row">' + drawn.curves(lines, "k", "share", most=deepest),
            drawn.bars(classes, (f"recall@{result.k}", f"mHR@{result.k}")) + "</div>",
        ),
        drawn.section(f"First answers that are wrong ({len(wrong)} of {result.queries})", drawn.cards(made)),
    ]
    return drawn.page("Clips of a kind", f"{result.queries} queries; {about}", "\n".join(body))


def text_page(result: TextResult, about: str) -> str:
    """The page of `footage eval text`."""
    low, high = result.interval
    ranks = np.array([rank for _, _, rank, _ in result.ranks])
    line = [(float(k), float(np.mean(ranks <= k))) for k in range(1, result.videos + 1)]
    of_video = {row[0]: row for row in sorted(result.ranks, key=lambda row: row[2])}  # the worst caption of each
    worst = sorted(of_video.values(), key=lambda row: -row[2])[:_SHOWN]
    made = [
        drawn.card(
            f"rank {rank} of {result.videos}" if rank <= result.videos else "not found",
            (drawn.thumbnail(path, 1.0), f"meant: {Path(path).name}"),
            (
                drawn.thumbnail(first, 1.0) if first else '<div class="none">nothing</div>',
                f"first: {Path(first).name}" if first else "",
            ),
            caption,
        )
        for path, caption, rank, first in worst
        if rank > 1
    ]
    titles = ("R@1", "R@5", "R@10", "95 % of R@10", "median rank")
    figures = (f"{result.r1:.3f}", f"{result.r5:.3f}", f"{result.r10:.3f}", f"{low:.2f}-{high:.2f}")
    body = [
        drawn.section("Figures", drawn.grid(titles, [(*figures, f"{result.median_rank:g}")])),
        drawn.section(
            "How far down the right video is",
            drawn.curves({"captions found": line}, "rank", "share", most=5.0 * -(-result.videos // 5)),
        ),
        drawn.section("The worst caption of each video", drawn.cards(made)),
    ]
    return drawn.page("Captions", f"{result.captions} captions, {result.videos} videos; {about}", "\n".join(body))
