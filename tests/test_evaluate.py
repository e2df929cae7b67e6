"""Asking a library a benchmark: clips of a kind, captions, judgements; and the command `footage eval`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import clip, encoder, library, run
from serving import serving

from footage.errors import ConfigError, NotIndexed, QueryError, StoreError
from footage.evaluate import benchmark, drawn, mine, report
from footage.evaluate.judgements import Judgement
from footage.evaluate.making import CopySet, Made
from footage.evaluate.scoring import Answered, Found, measure
from footage.evaluate.timeline import Row
from footage.library import Library
from footage.search import MAX_RESULTS
from footage.types import Match, Moment

SILENT = lambda *_: None  # noqa: E731
HEADLINE = ("micro_ap", "micro_ap_strong", "segment_f1", "edge_error_s", "false_matches", "pairs")
MORE = ("recall_at_rate", "segment_precision", "segment_recall", "edge_error_frames",
        "micro_ap_interval", "segment_f1_interval", "per_level", "per_attack")  # fmt: skip


def cli(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "footage", "eval", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "FOOTAGE_MODEL": "starter"},
    )


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels of three clips: those of a label share two of three scenes."""
    folder = tmp_path_factory.mktemp("kinds")
    for label, scenes in (("a", (1, 2)), ("b", (11, 12))):
        for number in range(3):
            clip(folder / label / f"{label}{number}.mp4", *scenes, 30 + number + scenes[0])
    (folder / "a" / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def asked(kinds: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    lib = library(tmp_path_factory.mktemp("asked") / "lib")
    run(lib, kinds)
    return lib


def found(folder: Path) -> list[str]:
    return sorted(str(p) for p in folder.rglob("*.mp4"))


# --------------------------------------------------------------------------------------------------- retrieval


class Sure:
    """Is asked for a kind, and answers with the very scenes: drawn ones are of no kind that a model knows."""

    def __init__(self, lib: Library) -> None:
        self.lib = lib

    def search(self, text=None, *, parts=(), k=10, per_video=3) -> list[Moment]:
        assert [(part.kind, part.like) for part in parts] == [("video", "kind")]
        parts = [replace(part, like="all") for part in parts]
        return self.lib.search(parts=parts, k=k, per_video=per_video, align=False)


def test_clips_of_a_kind_find_each_other(kinds: Path, asked: Library) -> None:
    clips = benchmark.labelled(kinds, found)
    assert {(Path(c.path).name, c.label, c.split) for c in clips} >= {("a0.mp4", "a", "both"), ("b2.mp4", "b", "both")}
    result = benchmark.retrieval(Sure(asked), clips, SILENT, ks=(1, 2, 5))
    # Each has two partners and finds both first; behind them stand the three of the other kind.
    assert result.queries == 6
    assert result.recall_at_k == {1: 1.0, 2: 1.0, 5: 1.0}
    assert result.mhr_at_k == {1: 0.5, 2: 1.0, 5: 1.0}
    assert result.map_hit_ranks == 1.0
    assert result.map_all_ranks == pytest.approx((1 + 1 + 2 / 3 + 2 / 4 + 2 / 5) / 5)
    assert result.per_class["a"] == {"queries": 3, "recall": 1.0, "mhr": 1.0, "map_hit_ranks": 1.0}
    assert all(Path(q.path).name not in [Path(c.path).name for c in first] for q, first in result.answers)


def test_a_gallery_and_its_queries(kinds: Path, asked: Library, tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    rows = [
        "path,label,split",
        *(f"{p},{Path(p).parent.name},{'test' if '0' in p[-6:] else 'train'}" for p in found(kinds)),
    ]
    table.write_text("\n".join(rows) + "\n")
    clips = benchmark.labelled(table, found)
    assert sorted(c.split for c in clips) == ["gallery"] * 4 + ["query"] * 2
    result = benchmark.retrieval(Sure(asked), clips, SILENT, ks=(1, 2))
    assert (result.queries, result.recall_at_k[1]) == (2, 1.0)
    assert result.mhr_at_k[2] == 1.0


def test_a_folder_may_be_split(tmp_path: Path) -> None:
    for side, label in (("gallery", "x"), ("gallery", "y"), ("query", "x")):
        (tmp_path / side / label).mkdir(parents=True)
        (tmp_path / side / label / "c.mp4").write_bytes(b"")
    clips = benchmark.labelled(tmp_path, found)
    assert sorted((c.split, c.label) for c in clips) == [("gallery", "x"), ("gallery", "y"), ("query", "x")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,kind\na.mp4,x\n", "no columns path and label"),
        ("path,label\na.mp4,x\n", "no clips of at least two labels"),
        ("path,label,split\na.mp4,x,left\nb.mp4,y,left\n", "unknown split: left"),
        ("path,label,split\na.mp4,x,train\nb.mp4,y,train\n", "needs both sides"),
    ],
)
def test_what_is_not_labelled_is_refused(tmp_path: Path, text: str, says: str) -> None:
    table = tmp_path / "clips.csv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=says):
        benchmark.labelled(table, found)
    with pytest.raises(ConfigError, match="no such folder"):
        benchmark.labelled(tmp_path / "none", found)


def test_a_kind_of_one_cannot_be_measured(kinds: Path, asked: Library) -> None:
    clips = [c for c in benchmark.labelled(kinds, found) if c.path.endswith("0.mp4")]
    with pytest.raises(ConfigError, match="no query has another clip of its label"):
        benchmark.retrieval(asked, clips, SILENT)


# -------------------------------------------------------------------------------------------------------- text


class Ranked:
    """A library whose answers are known: the videos in the order of their names."""

    def __init__(self, videos) -> None:
        self.videos = videos

    def search(self, text=None, *, parts=(), k=10, per_video=3) -> list[Moment]:
        return [Moment(v, 0.0, 1.0, 0.5, 1.0, 1.0) for v in self.videos][:k]


def test_ranks_of_captions_are_counted_from_one(kinds: Path, asked: Library, tmp_path: Path) -> None:
    file = tmp_path / "captions.jsonl"
    rows = [
        {"path": str(kinds / "a" / "a0.mp4"), "captions": ["first", "  "]},
        {"video": str(kinds / "b" / "b0.mp4"), "caption": "fourth"},
        {"path": "gone.mp4", "captions": "none"},
    ]
    file.write_text("\n".join(json.dumps(r) for r in rows) + "\n\n")
    pairs = benchmark.captions(file)
    assert [text for _, text in pairs] == ["first", "fourth", "none"]
    result = benchmark.text_search(Ranked(asked.videos()), pairs, 6, SILENT)
    assert [rank for _, _, rank, _ in result.ranks] == [1, 4, 7]
    assert result.as_dict() == {"r1": 0.3333, "r5": 0.6667, "r10": 1.0, "median_rank": 4.0}
    assert "rank 4 of 6" in report.text_page(result, "test")


def test_more_videos_than_can_be_asked_for_are_counted_as_not_found(kinds: Path, asked: Library) -> None:
    first = asked.videos()[0]

    class Large:
        def search(self, text=None, *, parts=(), k=10, per_video=3) -> list[Moment]:
            assert k == MAX_RESULTS
            return [Moment(first, 0.0, 1.0, 0.5, 1.0, 1.0)]

    result = benchmark.text_search(Large(), [(first.path, "here"), ("beyond.mp4", "there")], 5000, SILENT)
    assert [rank for _, _, rank, _ in result.ranks] == [1, 5001]


@pytest.mark.parametrize("line", ["no json", "[1]", '{"captions": ["a"]}', '{"path": "a"}'])
def test_what_is_no_caption_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "captions.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(ConfigError, match="line 1 of"):
        benchmark.captions(file)
    file.write_text("\n")
    with pytest.raises(ConfigError, match="no captions"):
        benchmark.captions(file)
    with pytest.raises(ConfigError, match="cannot read"):
        benchmark.captions(tmp_path / "none.jsonl")


# ------------------------------------------------------------------------------------------------------ copies


def test_a_copy_search_is_asked_every_query(asked: Library, kinds: Path) -> None:
    videos = asked.videos()
    first = videos[0]
    row = Row(0.5, 2.5, first.path, 0.5, 2.5, 1.0, False)
    queries = (Made(first.path, "copy", "light", ("crop",), 10, (row,)), Made(videos[3].path, "unseen", "", (), 10, ()))
    copies = CopySet(tuple(v.path for v in videos[:3]), queries, ())

    def find(path: str) -> list[Match]:
        ranges = (0.5, 2.5, first, 0.5, 2.4) if path == first.path else (0.0, 1.0, videos[1], 0.0, 1.0)
        sure = 0.9 if path == first.path else 0.2
        return [Match(path, *ranges, score=3.0, probability=sure, speed=1.0, offset=0.0, mirrored=False, evidence=())]

    result = benchmark.copy_search(copies, find, encoder(), asked.stamp.roles, SILENT)
    said = result.as_dict()
    assert list(said) == [*HEADLINE, "baselines", *MORE]
    assert said["per_attack"]["crop"]["copies"] == 1 and said["per_level"] == {"light": 1.0}
    assert said["segment_precision"] == 1.0 and said["segment_recall"] == pytest.approx(0.95, abs=0.01)
    assert (
        said["edge_error_frames"] == 0.0 and said["recall_at_rate"] == 1.0 and said["micro_ap_interval"] == [1.0, 1.0]
    )
    assert (said["micro_ap"], said["false_matches"], said["pairs"]) == (1.0, 0, 5)
    assert said["segment_f1"] == pytest.approx(2 * 0.95 / (1 + 0.95), abs=0.01)
    # The query is the reference itself, so that both baselines put it first.
    assert set(said["baselines"]) == {"vpdq", "mean_vector"}
    assert said["baselines"]["mean_vector"]["micro_ap"] == 1.0
    assert said["baselines"]["vpdq"]["micro_ap"] == 1.0
    without = benchmark.copy_search(copies, None, None, {}, SILENT)
    assert without.as_dict()["micro_ap"] is None
    nothing = benchmark.copy_search(copies, lambda _: [], None, {}, SILENT).as_dict()
    assert (nothing["segment_f1"], nothing["segment_recall"], nothing["edge_error_s"]) == (0.0, 0.0, None)
    assert [said["baselines"]["mean_vector"][n] for n in ("segment_f1", "segment_precision")] == [None, None]
    assert list(said["baselines"]["vpdq"]) == [*HEADLINE, *MORE]


def test_the_report_escapes_what_it_is_given_and_fetches_nothing(asked: Library, tmp_path: Path) -> None:
    source = clip(tmp_path / "<b>&.mp4", 5, 6)
    row = Row(0.0, 1.0, str(source), 0.0, 1.0, 1.0, False)
    made = Made(str(source), "copy", "strong", ("<script>",), 10, (row,))
    other = Made(str(source), "unseen", "", ("crop",), 10, ())
    copies = CopySet((str(source),), (made, other), ())
    answers = [Answered(made, ()), Answered(other, (Found(str(source), (0.0, 1.0, 0.0, 1.0), 0.9),))]
    figures = measure("footage", copies, answers, threshold=0.5)
    page = report.copy_page(benchmark.CopyResult(copies, figures, (), {"footage": answers}), "<i>")
    assert "&lt;b&gt;&amp;.mp4" in page
    for raw in ("<b>&", "<script", "<i>", "http:", "https:"):
        assert raw not in page, raw
    assert page.count("data:image/jpeg;base64,") == 4
    assert "default-src 'none'" in page
    assert "no picture" in drawn.thumbnail(str(tmp_path / "gone.mp4"), 0.0)


def test_curves_lie_where_their_values_are() -> None:
    svg = drawn.curves({"a": [(0.0, 1.0), (1.0, 0.0)]}, "x", "y")
    points = re.search(r'points="([^"]+)"', svg)
    assert points is not None
    (x0, y0), (x1, y1) = ([float(v) for v in pair.split(",")] for pair in points[1].split())
    assert x0 < x1
    assert y0 < y1  # SVG counts downwards
    assert 'width="150.0"' in drawn.bars({"half": [0.5]}, ["one"])


# -------------------------------------------------------------------------------------------------- judgements


def test_judgements_are_kept_and_the_last_word_counts(kinds: Path, asked: Library) -> None:
    video = str(kinds / "a" / "a0.mp4")
    known = asked.get(video).id
    try:
        assert asked.judgements() == []
        asked.judge("a red block", video, 0.0, 1.0, good=True)
        asked.judge((video, 0.5), video, 1.0, 2.0, good=False)
        changed = asked.judge(" a red block ", known, 0.0, 1.0, good=False)
        with (asked.path / "judgements.jsonl").open("a") as file:
            file.write('{"kind": "text", "que')  # cut short by a crash
        kept = asked.judgements()
        assert [(j.kind, j.query, j.at, j.good) for j in kept] == [
            ("image", known, 0.5, False),
            ("text", "a red block", 0.0, False),
        ]
        assert kept[1] == changed
        for wrong in ((" ", 0.0, 1.0), ("x", 2.0, 1.0), ("x", 0.0, float("inf"))):
            with pytest.raises(QueryError):
                asked.judge(wrong[0], video, wrong[1], wrong[2], good=True)
        with pytest.raises(NotIndexed):
            asked.judge("x", "ffffffff", 0.0, 1.0, good=True)
    finally:
        (asked.path / "judgements.jsonl").unlink()


def test_judgements_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    from footage.evaluate import judgements

    one = Judgement("text", "x", 0.0, "a" * 32, 0.0, 1.0, True)
    with pytest.raises(StoreError, match="cannot write"):
        judgements.add(tmp_path / "none", one)
    (tmp_path / "judgements.jsonl").mkdir()
    with pytest.raises(StoreError, match="cannot read"):
        judgements.read(tmp_path)


def judged(video: str, start: float, good: bool) -> Judgement:
    return Judgement("text", "q", 0.0, video, start, start + 1, good)


def test_how_well_an_answer_pleases_by_hand(asked: Library) -> None:
    a, b, c = asked.videos()[:3]
    moments = [Moment(v, 0.0, 1.0, 0.5, 1.0, 1.0) for v in (a, b, c)]
    assert mine.pleased([judged(b.id, 0.5, True)], moments) == 0.5
    assert mine.pleased([judged(b.id, 1.0, True)], moments) == 0.0  # behind the moment: ranges are half-open
    assert mine.pleased([judged(a.id, 0, False)], moments) == 0.0
    assert mine.pleased([judged(c.id, 0, False)], moments) == pytest.approx(2 / 3)
    both = [judged(b.id, 0, True), judged(a.id, 0, False), judged(c.id, 0, False)]
    assert mine.pleased(both, moments) == (0.5 + 0.5) / 2
    assert mine.pleased(both, []) == (0.0 + 0.5) / 2


def test_the_better_way_is_proposed_only_when_it_surely_is(asked: Library) -> None:
    a, b = asked.videos()[:2]
    one, two = (Moment(v, 0.0, 1.0, 0.5, 1.0, 1.0) for v in (a, b))

    def ask(given: Judgement, way: mine.Way) -> list[Moment]:
        return [two, one] if way.weights.get("good") == 1 else [one, two]

    queries = [replace(judged(b.id, 0, True), query=f"q{n}") for n in range(8)]
    tried = mine.ways(["good", "poor"], [2.0])
    assert [w.name for w in tried][:3] == ["as now", "good", "poor"]
    assert tried[-1] == mine.Way("sampled every 2 s", every=2.0)
    result = mine.compare(queries, tried, ask, SILENT)
    assert result.proposal is not None
    assert result.proposal.way.name == result.tried[0].way.name == "good"
    assert (result.proposal.score, result.tried[-1].score) == (1.0, 0.5)
    assert 'text = {"good" = 1}' in mine.as_settings(result.proposal)
    assert mine.compare(queries[:2], tried, ask, SILENT).proposal is None  # too few
    assert mine.compare(queries, tried[:1], ask, SILENT).why.startswith("nothing")
    with pytest.raises(ConfigError, match="no judgements yet"):
        mine.compare([], tried, ask, SILENT)


def test_as_if_a_model_alone_is_the_search_of_its_library(kinds: Path, asked: Library) -> None:
    from footage.search import Part

    part = Part("image", np.asarray(asked.picture(str(kinds / "b" / "b1.mp4"), 1.5)))
    assert asked.as_if({"starter": 2.0}, [part], k=5) == asked.search(parts=[part], k=5)
    with pytest.raises(NotIndexed):
        asked.as_if({"nothing": 1.0}, [part])


def test_a_judgement_by_rest(kinds: Path, asked: Library) -> None:
    video = asked.get(str(kinds / "a" / "a1.mp4")).id
    body = {"text": "blue", "video": video, "start": 0.0, "end": 1.0, "good": True}
    try:
        with serving(asked) as served:
            answer = served.client.post("/api/v1/judgements", json=body)
            assert answer.status_code == 201
            assert answer.json()["query"] == "blue"
            frame = {**body, "frame": {"video": video, "at": 0.5}}
            assert served.client.post("/api/v1/judgements", json=frame).status_code == 422
            del frame["text"]
            assert served.client.post("/api/v1/judgements", json=frame).json()["kind"] == "image"
            assert served.client.post("/api/v1/judgements", json={**body, "end": 0.0}).status_code == 400
            assert served.client.post("/api/v1/judgements", json={**body, "video": "ffff"}).status_code == 404
        assert [j.query for j in asked.judgements()] == ["blue", video]
    finally:
        (asked.path / "judgements.jsonl").unlink()


# --------------------------------------------------------------------------------------------- the real command


def test_eval_retrieval_by_command(kinds: Path, tmp_path: Path) -> None:
    done = cli("retrieval", kinds, "-k", 2, "--json", "--report", tmp_path / "r.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert list(said) == ["recall_at_k", "mhr_at_k", "map_all_ranks", "map_hit_ranks", "per_class"]
    assert set(said["per_class"]) == {"a", "b"} and said["per_class"]["a"]["queries"] == 3
    assert said["recall_at_k"] == {"1": 1.0, "2": 1.0}
    assert "Clips of a kind" in (tmp_path / "r.html").read_text()
    wrong = cli("retrieval", tmp_path / "none", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "error: no such folder or file" in wrong.stderr


def test_eval_text_by_command(kinds: Path, tmp_path: Path) -> None:
    file = tmp_path / "captions.jsonl"
    file.write_text("".join(json.dumps({"path": p, "captions": ["something"]}) + "\n" for p in found(kinds)))
    done = cli("text", file, "--json", "--library", tmp_path / "kept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == ["r1", "r5", "r10", "median_rank"]
    again = cli("text", file, "--library", tmp_path / "kept", cwd=tmp_path)
    assert "6 captions, 6 videos" in again.stdout
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text(json.dumps({"path": found(kinds)[0], "captions": ["something"]}) + "\n")
    other = cli("text", fewer, "--library", tmp_path / "kept", cwd=tmp_path)
    assert other.returncode == 2
    assert "5 videos that are not part of this" in other.stderr


def test_captions_of_nothing_and_of_a_damaged_file(kinds: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text(json.dumps({"path": "bad.mp4", "captions": ["something"]}) + "\n")
    none = cli("text", nothing, cwd=tmp_path)
    assert none.returncode == 2 and "none of the 1 files that have captions can be used" in none.stderr
    rows = [{"path": p, "captions": ["something"]} for p in ("bad.mp4", found(kinds)[0])]
    some = tmp_path / "some.jsonl"
    some.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("text", some, "--json", cwd=tmp_path)
    assert done.returncode == 1 and "not used: bad.mp4" in done.stderr and json.loads(done.stdout)["r1"] == 0.5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("copies", "v", "--seed", "-1"), "seed"),
        (("copies", "v", "--keep", "file"), "cannot make the folder file"),
        (("copies", "v", "--library", "file"), "cannot make the folder file"),
        (("retrieval", "KINDS", "--library", "file"), "cannot make the folder file"),
        (("retrieval", "KINDS", "--report", "none/r.html"), "there is no folder none"),
        (("copies", "v", "--report", "folder"), "it is a folder"),
        (("text", "c.jsonl", "--report", "none/r.html"), "there is no folder none"),
    ],
)
def test_what_cannot_be_made_is_told_before_the_work(
    kinds: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    done = cli(*(kinds if word == "KINDS" else word for word in words), cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr and done.stdout == "", done.stderr
    assert not {"indexed", "queries"} & set(done.stderr.split())


def test_eval_mine_by_command(kinds: Path, tmp_path: Path) -> None:
    where = tmp_path / "lib"
    with library(where) as lib:
        run(lib, kinds)
        lib.judge((str(kinds / "a" / "a0.mp4"), 0.5), str(kinds / "a" / "a1.mp4"), 0.0, 1.0, good=True)
        lib.judge("blue", str(kinds / "b" / "b1.mp4"), 0.0, 1.0, good=False)
    done = cli("mine", "--library", where, "--every", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {row["name"] for row in said["ways"]} == {"as now", "sampled every 2 s"}
    assert (said["judgements"], said["queries"], said["proposal"]) == (2, 2, None)
    assert cli("mine", "--library", where, "--every", "often", cwd=tmp_path).returncode == 2
    (where / "judgements.jsonl").unlink()
    empty = cli("mine", "--library", where, cwd=tmp_path)
    assert empty.returncode == 2
    assert "there are no judgements yet" in empty.stderr


def test_eval_copies_by_command(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    for number in range(8):
        clip(folder / f"v{number}.mp4", *range(number * 5, number * 5 + 4))
    options = ("--queries", 6, "--references", 4, "--keep", tmp_path / "kept", "--report", tmp_path / "c.html")
    done = cli("copies", folder, "--json", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert list(said) == [*HEADLINE, "baselines", *MORE] and said["segment_f1"] is not None
    assert set(said["baselines"]) == {"vpdq", "mean_vector"}
    assert 0 < said["baselines"]["mean_vector"]["micro_ap"] <= 1
    assert "4 references, 4 attacked copies, 2 queries without an answer" in (tmp_path / "c.html").read_text()
    shown = cli("copies", folder, "--no-baselines", *options[:6], cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    few = cli("copies", folder / "v0.mp4", cwd=tmp_path)
    assert few.returncode == 2
    assert "1 of the videos can be used, but 4 are needed" in few.stderr
