"""Every measure against scikit-learn, a slow reference that is written here, or a case worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from footage.evaluate import metrics
from footage.evaluate.making import CopySet, Made
from footage.evaluate.scoring import Answered, Found, measure
from footage.evaluate.timeline import Row


def slow_micro_ap(scores, right, positives):
    """Precision at each step of recall, walked pair by pair; pairs of one score are taken together."""
    total = before = 0.0
    for threshold in sorted(set(scores), reverse=True):
        passed = [r for s, r in zip(scores, right, strict=True) if s >= threshold]
        recall = sum(passed) / positives
        total += (recall - before) * sum(passed) / len(passed)
        before = recall
    return total


@pytest.mark.parametrize("seed", range(8))
def test_micro_ap_is_that_of_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    right = rng.random(200) < 0.2
    scores = np.round(rng.random(200) + 0.3 * right, 1 if seed % 2 else 6)  # half of them with many ties
    expected = sklearn.average_precision_score(right, scores)
    assert metrics.micro_ap(scores, right, int(right.sum())) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_micro_ap_counts_pairs_that_were_never_answered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, right = np.round(rng.random(60), 1), rng.random(60) < 0.4
    positives = int(right.sum()) + 7
    assert metrics.micro_ap(scores, right, positives) == pytest.approx(slow_micro_ap(scores, right, positives))


def test_micro_ap_by_hand() -> None:
    # ranks: right, wrong, right; one more is never found: 1/3 * 1 + 1/3 * 2/3
    assert metrics.micro_ap(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 3) == pytest.approx(5 / 9)
    assert metrics.micro_ap(np.zeros(0), np.zeros(0, bool), 3) == 0
    with pytest.raises(ValueError, match="without a true pair"):
        metrics.micro_ap(np.array([0.5]), np.array([False]), 0)


def test_recall_at_a_rate_of_false_pairs() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, False, True, False, True])
    assert metrics.recall_at_rate(scores, right, 4, 1000, 0.0) == 1 / 4
    assert metrics.recall_at_rate(scores, right, 4, 1000, 0.001) == 2 / 4
    assert metrics.recall_at_rate(scores, right, 4, 1000, 0.002) == 3 / 4
    assert metrics.recall_at_rate(np.array([0.9, 0.9]), np.array([True, False]), 1, 10, 0.0) == 0


def slow_segments(found, true, step=0.05):
    """The VCSL rule by counting small pieces of time, box by box."""

    def share(boxes, by):
        out = [0.0, 0.0, 0.0, 0.0]
        for box in boxes:
            touching = [
                o for o in by if min(o[1], box[1]) > max(o[0], box[0]) and min(o[3], box[3]) > max(o[2], box[2])
            ]
            for axis in (0, 1):
                low, high = box[2 * axis], box[2 * axis + 1]
                at = np.arange(low + step / 2, high, step)
                inside = np.zeros(len(at), bool)
                for o in touching:
                    inside |= (at >= o[2 * axis]) & (at < o[2 * axis + 1])
                out[axis] += inside.sum() * step
                out[2 + axis] += len(at) * step
        return out[0] / out[2] * (out[1] / out[3])

    return share(found, true), share(true, found)


@pytest.mark.parametrize("seed", range(10))
def test_segments_are_those_of_a_slow_count(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def boxes(n):
        out = []
        for _ in range(n):
            q, v = (round(float(x), 1) for x in rng.uniform(0, 8, 2))
            out.append((q, q + round(float(rng.uniform(0.5, 5)), 1), v, v + round(float(rng.uniform(0.5, 5)), 1)))
        return out

    found, true = boxes(int(rng.integers(1, 5))), boxes(int(rng.integers(1, 5)))
    got = metrics.segments(found, true)
    assert (got.precision, got.recall) == pytest.approx(slow_segments(found, true), abs=0.02)


def test_segments_by_hand() -> None:
    true = [(0.0, 10.0, 20.0, 30.0)]
    half = metrics.segments([(0.0, 5.0, 20.0, 25.0)], true)
    assert (half.precision, half.recall) == (1.0, 0.25)  # a half along each axis
    # The same segment in two parts: nothing changes, which is what the rule is for.
    parts = metrics.segments([(0.0, 5.0, 20.0, 25.0), (5.0, 10.0, 25.0, 30.0)], true)
    assert (parts.precision, parts.recall, parts.f1) == (1.0, 1.0, 1.0)
    # Right seconds of the query, other seconds of the video: nothing in common.
    assert metrics.segments([(0.0, 10.0, 40.0, 50.0)], true).f1 == 0
    assert metrics.segments([], []).f1 == 1
    assert (metrics.segments([], true).precision, metrics.segments([], true).recall) == (1, 0)
    assert (metrics.segments(true, []).precision, metrics.segments(true, []).recall) == (0, 1)
    # Said twice, it covers the truth once: no more recall, no less precision.
    twice = metrics.segments(true * 2, true)
    assert (twice.precision, twice.recall) == (1, 1)


def test_edges_are_of_the_segment_that_overlaps_most() -> None:
    true = [(0.0, 4.0, 10.0, 14.0), (8.0, 9.0, 30.0, 31.0)]
    found = [(0.5, 4.25, 10.5, 14.25), (3.0, 4.0, 13.0, 14.0)]
    assert metrics.edges(found, true) == [(0.5, 0.25, 0.5, 0.25)]  # the second was not found, so it has no error
    assert metrics.edges([], true) == []


def test_ranked_lists_by_hand() -> None:
    right = np.array([False, True, False, True])
    assert [metrics.recall_at(right, k) for k in (1, 2, 4)] == [0, 1, 1]
    assert [metrics.hit_ratio_at(right, k, 4) for k in (1, 2, 4)] == [0, 0.25, 0.5]
    assert metrics.ap_all_ranks(right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert metrics.ap_hit_ranks(right) == pytest.approx((1 / 2 + 2 / 4) / 2)
    nothing = np.zeros(0, bool)
    assert metrics.ap_all_ranks(nothing) == metrics.ap_hit_ranks(nothing) == metrics.hit_ratio_at(nothing, 3, 0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_precision_over_hit_ranks_is_average_precision(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    right = np.random.default_rng(seed).random(30) < 0.3
    expected = sklearn.average_precision_score(right, -np.arange(30.0))
    assert metrics.ap_hit_ranks(right) == pytest.approx(expected)


def test_ranks_of_captions() -> None:
    assert metrics.text_ranks([1, 2, 6, 40]) == {"r1": 0.25, "r5": 0.5, "r10": 0.75, "median_rank": 4.0}
    with pytest.raises(ValueError, match="without a caption"):
        metrics.text_ranks([])


def test_the_bootstrap_of_a_mean_is_its_standard_error() -> None:
    values = list(np.random.default_rng(1).normal(5.0, 2.0, 400))
    low, high = metrics.bootstrap(values, lambda v: float(np.mean(v)), rounds=2000, seed=3)
    error = np.std(values) / np.sqrt(len(values))
    assert (low, high) == pytest.approx((np.mean(values) - 1.96 * error, np.mean(values) + 1.96 * error), abs=0.03)
    assert (low, high) == metrics.bootstrap(values, lambda v: float(np.mean(v)), rounds=2000, seed=3)
    with pytest.raises(ValueError, match="refused every draw"):
        metrics.bootstrap([1], lambda _: metrics.micro_ap(np.ones(1), np.zeros(1, bool), 0), rounds=3)


def copies() -> CopySet:
    row = Row(1.0, 5.0, "a", 11.0, 15.0, 1.0, False)
    return CopySet(
        ("a", "b", "c"),
        (
            Made("q1", "copy", "light", ("crop",), 10, (row,)),
            Made("q2", "copy", "strong", ("blur", "crop"), 10, (Row(0.0, 4.0, "b", 2.0, 10.0, 2.0, False),)),
            Made("q3", "unseen", "", (), 10, ()),
        ),
        (),
    )


def test_figures_of_a_method_by_hand() -> None:
    given = copies()
    answers = [
        Answered(given.queries[0], (Found("a", (1.0, 5.2, 11.0, 15.2), 0.9), Found("b", (0.0, 1.0, 0.0, 1.0), 0.2))),
        Answered(given.queries[1], (Found("c", (0.0, 2.0, 0.0, 2.0), 0.6),)),
        Answered(given.queries[2], ()),
    ]
    got = measure("test", given, answers, threshold=0.5)
    assert got.micro_ap == pytest.approx(0.5)  # one of two true pairs, before anything false
    assert (got.false_matches, got.pairs) == (1, 3 * 3 - 2)
    assert (got.precision, got.recall) == (0.5, 0.5)
    # Claimed: 4.2 + 2 s of queries, 4.2 + 2 of videos; true of it: 4 and 4. There are 8 and 12 s to find.
    assert got.segment_precision == pytest.approx((4 / 6.2) ** 2)
    assert got.segment_recall == pytest.approx(4 / 8 * (4 / 12))
    assert got.edge_error == pytest.approx(0.1)  # of 0, 0.2, 0 and 0.2
    assert got.edge_error_frames == pytest.approx(1.0)
    assert got.per_level == {"light": 1.0, "strong": 0.0}
    assert got.per_attack["crop"]["recall"] == 0.5
    assert got.per_attack["blur"]["segment_f1"] == 0
    assert got.micro_ap_interval[0] <= got.micro_ap <= got.micro_ap_interval[1]


def test_a_method_that_finds_everything_is_perfect() -> None:
    given = copies()
    answers = [
        Answered(m, tuple(Found(r.path, (r.query_start, r.query_end, r.start, r.end), 0.7) for r in m.rows))
        for m in given.queries
    ]
    got = measure("perfect", given, answers)
    assert (got.micro_ap, got.segment_f1, got.segment_f1_by_pair, got.edge_error) == (1, 1, 1, 0)
    assert (got.false_matches, got.recall_at_rate, got.threshold) == (0, 1, 0.7)


def test_a_method_without_times_has_no_segments() -> None:
    given = copies()
    answers = [Answered(m, tuple(Found(r.path, None, 0.7) for r in m.rows)) for m in given.queries]
    got = measure("mean", given, answers)
    assert (got.micro_ap, got.segment_f1, got.edge_error, got.timed) == (1, 0, None, False)
    nothing = measure("footage", given, [Answered(m, ()) for m in given.queries], threshold=0.5, timed=True)
    assert (nothing.segment_f1, nothing.edge_error, nothing.timed) == (0, None, True)
