"""Several models in one library: filling, switching, fusing, comparing, dropping; killed and asked in the middle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import commands
import numpy as np
import onnx_models
import pytest
from clips import clip, encoder, run, whole
from onnx import TensorProto
from serving import Served, serving

from footage import encoders
from footage.config import Settings, load
from footage.encoders import Together
from footage.errors import ConfigError, EncoderError, NotIndexed, QueryError, SpaceMismatch, StoreError, UnknownEncoder
from footage.frames import decode_jpeg
from footage.ingest import Progress
from footage.library import Library
from footage.media import resize
from footage.models import overlap
from footage.search import Part
from footage.search.query import channels
from footage.stores.lance import LanceStore
from footage.types import Embeddings

COUNT = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of six clips, made with the starter, and two other models."""
    folder = tmp_path_factory.mktemp("models")
    onnx_models.immich(folder / "small", seed=3)
    large(folder / "large")
    for number in range(COUNT):
        clip(folder / "films" / f"{number}.mp4", *range(3 * number, 3 * number + 2 + number % 2))
    with Library.open(folder / "library", encoder=encoder(), settings=settings(folder)) as lib:
        run(lib, folder / "films")
    return folder


def large(folder: Path) -> None:
    """A model whose pictures are larger than key frames are."""
    onnx_models.immich(folder)
    vocabulary = onnx_models.gemma_like().get_vocab_size()
    small = onnx_models.Small(5, side=384, length=12, vocabulary=vocabulary)
    onnx_models.image_graph(small, folder / "visual/model.onnx", rows="n", output="embedding")
    onnx_models.text_graph(
        small, folder / "textual/model.onnx", rows="n", output="embedding", takes=("text",), kind=TensorProto.INT32
    )
    steps = json.loads((folder / "visual/preprocess_cfg.json").read_text())
    onnx_models.write(folder / "visual/preprocess_cfg.json", {**steps, "size": [384, 384]})


def settings(place: Path, **more: Any) -> Settings:
    return Settings(cache=str(place / "cache"), **more)


def opened(place: Path, path: Path, **more: Any) -> Library:
    return Library.open(path, encoder=encoder(), settings=settings(place, **more))


@pytest.fixture
def lib(place: Path, tmp_path: Path) -> Iterator[Library]:
    shutil.copytree(place / "library", tmp_path / "library")
    with opened(place, tmp_path / "library") as found:
        yield found


def name(place: Path, which: str = "small") -> str:
    return f"onnx:{(place / which).as_posix()}"


def space(place: Path, which: str = "small") -> str:
    return encoders.lookup(name(place, which)).spaces[0].name


def asked(lib: Library) -> set[str]:
    """The space that answers words now."""
    [moment, *_] = lib.search("a red car", k=1)
    return {e.space for e in moment.evidence}


def interrupted(lib: Library, model: str, after: int = 3) -> Progress:
    """Begin to use a model, and cancel that after some pictures."""
    progress, calls = Progress(), iter(range(10_000))

    def give_way() -> None:
        if next(calls) == after:
            progress.cancelled.set()

    progress.give_way = give_way
    used = lib.use(model, progress=progress)
    assert (used.state, used.answers) == ("filling", [])
    return progress


# ----------------------------------------------------------------------------------------------- filling and switching


def test_a_model_is_filled_from_the_key_frames_alone(place: Path, lib: Library) -> None:
    assert asked(lib) == {"starter-text"}
    (place / "films").rename(place / "away")
    try:
        used = lib.use(name(place))
    finally:
        (place / "away").rename(place / "films")
    assert (used.state, sorted(used.answers)) == ("complete", ["image", "text"])
    assert (used.videos, used.decoded, used.coarse) == (COUNT, 0, 0)
    model = encoders.load(name(place), cache_dir=place / "cache")
    store = lib._opened()
    for video in lib.videos():
        rows, old = store.vectors(space(place), video.id), store.vectors("starter-image", video.id)
        assert rows.at.tolist() == old.at.tolist() and rows.end.tolist() == old.end.tolist()
        size = model.input_size(video.width, video.height)
        pictures = [resize(decode_jpeg(data), *size) for _, data in lib.frames.read_all(video.id)]
        [expected] = model.encode_images(np.stack(pictures)).values()
        np.testing.assert_allclose(rows.vectors, expected, atol=2e-3)
    assert asked(lib) == {space(place)}
    assert {e.space for e in lib.search(image=pictures[0], k=1)[0].evidence} == {space(place), "layout"}
    whole(lib)


def test_a_library_of_one_model_opens_unchanged_and_moves_on_when_a_second_comes(place: Path, lib: Library) -> None:
    file = lib.path / "library.json"
    before = file.read_bytes()
    old = json.loads(before)
    assert old["format"] == 1 and "models" not in old
    lib.search("a red car")
    run(lib, place / "films")
    assert file.read_bytes() == before
    lib.use(name(place))
    new = json.loads(file.read_text())
    assert new["format"] == 2
    assert [(m["name"], m["state"]) for m in new["models"]] == [
        ("starter", "complete"), ("layout", "complete"), (name(place), "complete"),
    ]  # fmt: skip
    assert " ".join(m["fingerprint"] for m in new["models"][:2]) == old["fingerprint"]
    assert new["roles"] == {"image": space(place), "text": space(place), "copy": "layout"}
    assert new["created"] == old["created"]


def test_the_old_model_answers_until_the_new_one_is_complete(place: Path, lib: Library) -> None:
    progress = Progress()
    progress.paused.set()
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(lib.use(name(place), progress=progress)))
    with opened(place, lib.path) as other:
        assert asked(other) == {"starter-text"}
        thread.start()
        until = time.monotonic() + 120
        while other.stamp is None or other.stamp.member(name(place)) is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert asked(other) == asked(lib) == {"starter-text"}
        assert other.stamp.member(name(place)).state == "filling"  # type: ignore[union-attr]
        progress.paused.clear()
        thread.join(300)
        assert done[0].state == "complete"
        assert asked(other) == asked(lib) == {space(place)}, "also where the library was open before"


def test_switching_back_costs_nothing(place: Path, lib: Library) -> None:
    lib.use(name(place))
    used = lib.use("starter")
    assert (used.videos, sorted(used.answers)) == (0, ["image", "text"])
    assert asked(lib) == {"starter-text"}
    assert lib.encoder.row.calibration.keys() == {"text", "image", "video"}
    assert lib.use(name(place)).videos == 0
    assert lib.encoder.row.calibration == {}, "that of the starter is not that of its successor"


def test_what_was_cancelled_goes_on_and_new_videos_get_all_models(place: Path, lib: Library, tmp_path: Path) -> None:
    interrupted(lib, name(place))
    assert asked(lib) == {"starter-text"}
    findings = lib.doctor()
    assert [(f.problem, f.what, f.harmless) for f in findings] == [("filling", space(place), True)]
    filled = sum(lib._opened().counts(space(place)).values())
    fresh = clip(tmp_path / "fresh.mp4", 40, 41)
    assert run(lib, fresh)["fresh.mp4"].status == "indexed"
    video = lib.get(str(fresh))
    assert len(lib._opened().vectors(space(place), video.id)) == video.samples
    used = lib.use(name(place))
    assert used.state == "complete" and used.videos <= COUNT
    total = sum(v.samples for v in lib.videos())
    assert used.samples == total - filled - video.samples
    whole(lib)


def test_each_encoder_gets_pictures_of_its_own_size(place: Path, lib: Library, tmp_path: Path) -> None:
    """A video that is indexed with two models has the vectors that each would give it alone."""
    lib.use(name(place))
    fresh = clip(tmp_path / "fresh.mp4", 40, 41, 42)
    run(lib, fresh)
    alone = Library.open(tmp_path / "alone", settings=settings(place))
    alone.index(fresh, model=name(place))
    starter = opened(place, tmp_path / "starter")
    run(starter, fresh)
    video = lib.get(str(fresh)).id
    for other, spaces in ((alone, [space(place)]), (starter, ["starter-image", "starter-text", "layout"])):
        for each in spaces:
            mine, theirs = (store.vectors(each, video).vectors for store in (lib._opened(), other._opened()))
            np.testing.assert_allclose(mine, theirs, atol=2e-3)
        other.close()


def test_the_layout_shares_the_largest_picture(place: Path) -> None:
    starter, layout = encoder().encoders  # type: ignore[attr-defined]
    small = encoders.load(name(place), cache_dir=place / "cache")
    usual = starter.input_size(640, 360)
    assert Together(starter, layout).input_sizes(640, 360) == (usual, usual)
    assert Together(starter, layout, small).input_sizes(640, 360) == (usual, usual, (32, 32))
    assert Together(small, layout).input_sizes(640, 360) == ((32, 32), (64, 64)), "32 pixels are too coarse for it"


# ------------------------------------------------------------------------------------------------- key frames too small


def test_a_model_of_large_pictures_has_the_videos_decoded_again(place: Path, tmp_path: Path) -> None:
    from media_samples import render, scene

    wide = render(tmp_path / "wide.mp4", (scene(n // 10, 640, 480, shift=n) for n in range(20)), fps=10)
    with opened(place, tmp_path / "library") as lib, Library.open(tmp_path / "l2", settings=settings(place)) as direct:
        run(lib, wide, clip(tmp_path / "little.mp4", 7, 8))
        told: list[str] = []
        used = lib.use(name(place, "large"), on_decoding=told.append)
        assert told == [f"the key frames, 320 pixels long, are too small for {name(place, 'large')}"]
        assert (used.videos, used.decoded, used.coarse) == (2, 1, 0), "little.mp4 is no larger than its key frames"
        direct.index(wide, model=name(place, "large"))
        video = lib.get(str(wide)).id
        mine, theirs = (each._opened().vectors(space(place, "large"), video).vectors for each in (lib, direct))
        np.testing.assert_allclose(mine, theirs, atol=2e-3)


def test_where_the_file_is_away_small_key_frames_are_taken(place: Path, tmp_path: Path) -> None:
    from media_samples import render, scene

    wide = render(tmp_path / "wide.mp4", (scene(n // 10, 640, 480, shift=n) for n in range(20)), fps=10)
    with opened(place, tmp_path / "library") as lib:
        run(lib, wide)
        wide.unlink()
        used = lib.use(name(place, "large"))
        assert (used.state, used.videos, used.decoded, used.coarse) == ("complete", 1, 0, 1)


def test_lost_key_frames_are_made_up_for_from_the_file_or_told(place: Path, tmp_path: Path) -> None:
    files = [clip(tmp_path / f"{n}.mp4", n, n + 1) for n in (1, 3)]
    with opened(place, tmp_path / "library") as lib:
        run(lib, *files)
        lib.frames.delete([v.id for v in lib.videos()])
        files[0].unlink()
        with pytest.raises(StoreError, match=r"neither key frames nor the file are there of: .*1\.mp4"):
            lib.use(name(place))
        assert asked(lib) == {"starter-text"}
        lib.remove(str(files[0]))
        used = lib.use(name(place))
        assert (used.state, used.decoded) == ("complete", 0), "the other one was filled the first time"
        assert len(lib._opened().vectors(space(place), lib.videos()[0].id)) == lib.videos()[0].samples


# ------------------------------------------------------------------------------------------------------------- killed


def footage(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return commands.footage(*arguments, FOOTAGE_CACHE=str(place / "cache"))


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_in_the_middle_of_filling_the_next_run_completes(place: Path, lib: Library) -> None:
    arguments = ("models", "use", name(place), "--library", lib.path, "--json")
    commands.killed_while_filling(*arguments, FOOTAGE_CACHE=str(place / "cache"))
    done = lib._opened().counts(space(place))
    assert 1 <= len(done) < COUNT
    assert all(done[v.id] == v.samples for v in lib.videos() if v.id in done), "whole videos only"
    assert asked(lib) == {"starter-text"}
    assert [f.problem for f in lib.doctor()] == ["filling"]
    again = footage(place, *arguments)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["state"] == "complete" and told["videos"] == COUNT - len(done)
    assert asked(lib) == {space(place)}
    whole(lib)


# ------------------------------------------------------------------------------------------------------------ dropping


def test_drop(place: Path, lib: Library, tmp_path: Path) -> None:
    with pytest.raises(SpaceMismatch, match="starter answers") as refused:
        lib.drop("starter")
    assert "footage models use" in refused.value.hint
    lib.use(name(place))
    total = sum(v.samples for v in lib.videos())
    dropped = lib.drop("starter")
    assert (dropped.spaces, dropped.samples) == (["starter-image", "starter-text"], 2 * total)
    assert [s.name for s in lib._opened().spaces()] == ["layout", space(place)]
    assert asked(lib) == {space(place)}
    with opened(place, lib.path) as other:
        run(other, clip(tmp_path / "fresh.mp4", 50, 51))
        whole(other)
    with pytest.raises(SpaceMismatch, match="layout answers copy"):
        lib.drop("layout")
    with pytest.raises(NotIndexed, match="no model starter"):
        lib.drop("starter")
    lib.use("starter")
    assert asked(lib) == {"starter-text"}


def test_a_model_that_is_half_filled_can_be_dropped(place: Path, lib: Library) -> None:
    interrupted(lib, name(place))
    lib.drop(name(place))
    assert [s.name for s in lib._opened().spaces()] == ["starter-image", "starter-text", "layout"]
    whole(lib)


def test_what_a_killed_drop_leaves_is_found_and_mended(place: Path, lib: Library) -> None:
    lib.use(name(place))
    lib.use("starter")
    stamp = json.loads((lib.path / "library.json").read_text())
    stamp["models"] = [m for m in stamp["models"] if m["name"] != name(place)]
    (lib.path / "library.json").write_text(json.dumps(stamp))
    with opened(place, lib.path) as other:
        [finding] = other.doctor()
        assert (finding.problem, finding.what, finding.harmless) == ("dropped", space(place), True)
        [mended] = other.doctor(repair=True)
        assert mended.mended
        whole(other)
        assert other.use(name(place)).videos == COUNT


def test_weights_that_changed_are_filled_anew(place: Path, lib: Library, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    onnx_models.immich(folder, seed=1)
    mine = f"onnx:{folder.as_posix()}"
    lib.use(mine)
    lib.use("starter")
    onnx_models.immich(folder, seed=2)
    with opened(place, lib.path) as other:
        assert other.use(mine).videos == COUNT
        whole(other)
    onnx_models.immich(folder, seed=3)
    with opened(place, lib.path) as other:
        with pytest.raises(SpaceMismatch, match="another version"):
            other.search("a red car")
        with pytest.raises(SpaceMismatch, match="which answers"):
            other.use(mine)


# ------------------------------------------------------------------------------------------------- comparing and fusing


def test_compare(place: Path, lib: Library, tmp_path: Path) -> None:
    lib.use(name(place))
    picture = tmp_path / "picture.jpg"
    video = lib.videos()[2]
    picture.write_bytes(lib.thumbnail(video.id, 0.5))
    parts = [Part("text", "a red car"), Part("image", str(picture))]
    words, seen = lib.compare("starter", name(place), parts, k=3)
    assert {e.space for m in words.moments[0] for e in m.evidence} == {"starter-text"}
    assert {e.space for m in words.moments[1] for e in m.evidence} == {space(place)}
    assert 0 <= words.overlap <= 1 and words.overlap == overlap(*words.moments)
    assert [found[0].video.id for found in seen.moments] == [video.id, video.id] and seen.overlap > 0
    [same] = lib.compare("starter", "starter", parts[:1], k=3)
    assert same.overlap == 1.0
    assert asked(lib) == {space(place)}, "comparing switches nothing"
    assert overlap(words.moments[0], []) == 0.0 and overlap([], []) == 1.0
    with pytest.raises(NotIndexed, match="no model nothing"):
        lib.compare("starter", "nothing", parts)
    with pytest.raises(QueryError):
        lib.compare("starter", "layout", parts[:1])


def test_a_half_filled_model_cannot_be_compared(place: Path, lib: Library) -> None:
    interrupted(lib, name(place))
    with pytest.raises(ConfigError, match="not complete"):
        lib.compare("starter", name(place), [Part("text", "a red car")])


def test_two_models_answer_together(place: Path, lib: Library) -> None:
    lib.use(name(place), beside=0.5)
    spaces = {"starter-image": 1.0, space(place): 0.5}
    assert lib.stamp is not None and lib.stamp.roles["image"] == spaces
    picture = decode_jpeg(lib.thumbnail(lib.videos()[4].id, 0.5))
    [moment] = lib.search(image=picture, k=1)
    assert moment.video.id == lib.videos()[4].id
    assert [(e.channel, e.space) for e in moment.evidence] == [
        ("image", "starter-image"), ("image", space(place)), ("copy", "layout"),
    ]  # fmt: skip
    assert asked(lib) == {"starter-text", space(place)}
    [channel] = channels([Part("image", picture)], store=lib._reads(), encoder=lib.encoder, roles=lib._roles())
    widths = []
    for view in channel.views[:2]:
        scores = view.cosines(lib._reads().sample_vectors(view.space, 2048))[0]
        widths.append(max(0.02, 1.4826 * float(np.median(np.abs(scores - np.median(scores))))))
    first, second = (view.weight * width for view, width in zip(channel.views, widths, strict=False))
    assert second / first == pytest.approx(0.5, rel=1e-4), "the second has half the say of the first"
    assert channel.views[0].weight == pytest.approx(2 / 3)
    with pytest.raises(SpaceMismatch, match="answers"):
        lib.drop("starter")
    lib.use("starter")
    assert asked(lib) == {"starter-text"}
    lib.drop(name(place))


@pytest.mark.parametrize("weight", [0, -1, 1000])
def test_a_weight_that_makes_no_sense(place: Path, lib: Library, weight: float) -> None:
    with pytest.raises(ConfigError, match="weight"):
        lib.use(name(place), beside=weight)


def test_the_settings_fuse_models(place: Path, lib: Library, tmp_path: Path) -> None:
    lib.use(name(place))
    lib.use("starter")
    file = tmp_path / "footage.toml"
    file.write_text(f'[models]\nmodel = "starter"\n[models.fuse]\nimage = {{starter = 1, "{name(place)}" = 0.5}}\n')
    fuse = load({}, file=file).fuse
    assert load({}, file=file).model == "starter" and fuse == {"image": {"starter": 1.0, name(place): 0.5}}
    with opened(place, lib.path, fuse=fuse) as other:
        picture = decode_jpeg(other.thumbnail(other.videos()[4].id, 0.5))
        [moment] = other.search(image=picture, k=1)
        assert {e.space for e in moment.evidence} == {"starter-image", space(place), "layout"}
        assert asked(other) == {"starter-text"}
    for wrong, word in (
        ({"image": {"ViT-B-32-openai": 1.0}}, "does not have"),
        ({"text": {"layout": 1.0}}, "does not answer"),
    ):
        with opened(place, lib.path, fuse=wrong) as other, pytest.raises(ConfigError, match=word):
            other.search("a red car")


@pytest.mark.parametrize(
    "text", ["fuse = 3", 'fuse = {sound = {a = 1}}', "fuse = {image = {a = 0}}", 'fuse = {image = {a = "x"}}',
             "fuse = {image = {}}", "fuse = {image = {a = true}}"],
)  # fmt: skip
def test_settings_that_cannot_be_fused(tmp_path: Path, text: str) -> None:
    (tmp_path / "footage.toml").write_text(f"[models]\n{text}\n")
    with pytest.raises(ConfigError):
        load({}, file=tmp_path / "footage.toml")


# --------------------------------------------------------------------------------------------------------------- errors


def test_what_cannot_be_used(place: Path, lib: Library, tmp_path: Path) -> None:
    before = (lib.path / "library.json").read_bytes()
    with pytest.raises(UnknownEncoder):
        lib.use("nothing-such")
    with pytest.raises(UnknownEncoder):
        lib.use("layout")
    shutil.copytree(place / "small", tmp_path / "cut")
    tower = tmp_path / "cut/visual/model.onnx"
    tower.write_bytes(tower.read_bytes()[:500])
    assert (lib.path / "library.json").read_bytes() == before
    with pytest.raises(EncoderError, match="visual"):
        lib.use(f"onnx:{tmp_path / 'cut'}")
    assert asked(lib) == {"starter-text"}
    lib.drop(f"onnx:{tmp_path / 'cut'}")
    with Library.open(tmp_path / "none") as none:
        for ask in (lambda: none.use("starter"), lambda: none.drop("starter"), lambda: none.compare("a", "b", [])):
            with pytest.raises(NotIndexed):
                ask()


# ---------------------------------------------------------------------------------------------------------------- faces


def test_the_commands(place: Path, lib: Library, tmp_path: Path) -> None:
    where = ("--library", lib.path)
    done = footage(place, "models", "use", name(place), *where)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name(place)} answers ")
    (tmp_path / "picture.jpg").write_bytes(lib.thumbnail(lib.videos()[1].id, 0.5))
    (tmp_path / "queries.txt").write_text("# mine\na red car\n\n@picture.jpg\n", encoding="utf-8")
    compared = footage(place, "models", "compare", "starter", name(place), tmp_path / "queries.txt", "--json", *where)
    assert compared.returncode == 0, compared.stderr
    rows = [json.loads(line) for line in compared.stdout.splitlines()]
    assert [Path(row["query"]).name for row in rows] == ["a red car", "picture.jpg"]
    assert all(row["a"] and row["b"] and 0 <= row["overlap"] <= 1 for row in rows)
    shown = footage(place, "models", "compare", "starter", name(place), tmp_path / "queries.txt", *where)
    assert "overlap@5" in shown.stdout and "mean overlap@5" in shown.stderr
    assert footage(place, "models", "use", "starter", "--json", *where).returncode == 0
    dropped = footage(place, "models", "drop", name(place), "--json", *where)
    assert json.loads(dropped.stdout)["spaces"] == [space(place)]
    for arguments, status, word in (
        (("drop", "starter"), 2, "answers"),
        (("drop", "nothing"), 2, "no model nothing"),
        (("use", "nothing"), 2, "unknown model"),
        (("use", "starter", "--beside", "0"), 2, "weight"),
        (("compare", "starter", "starter", tmp_path / "none.txt"), 2, "cannot read"),
    ):
        failed = footage(place, "models", *arguments, *where)
        assert (failed.returncode, failed.stdout) == (status, ""), failed.stderr
        assert word in failed.stderr and "Traceback" not in failed.stderr


def test_a_running_server_goes_on_answering(place: Path, lib: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = LanceStore.fill
    go = threading.Event()
    go.set()

    def slowly(self: LanceStore, rows: Sequence[Embeddings]) -> None:
        fill(self, rows)
        assert go.wait(120)

    monkeypatch.setattr(LanceStore, "fill", slowly)
    monkeypatch.setattr("footage.ingest.filling._FLUSH_SECONDS", 0.0)
    interrupted(lib, name(place), after=1)
    go.clear()  # it is under way until it was looked at
    query = {"parts": [{"kind": "text", "value": "a red car"}], "k": 1}

    def spaces(served: Served) -> set[str]:
        answer = served.client.post("/api/v1/search", json=query)
        assert answer.status_code == 200, answer.text
        return {e["space"] for m in answer.json()["moments"] for e in m["evidence"]}

    with serving(lib) as served:
        answer = served.client.post("/api/v1/models/use", json={"model": name(place)})
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert job["model"] == name(place) and job["folders"] == []
        served.wait(job["id"], "running")
        held = served.client.post(f"/api/v1/jobs/{job['id']}/pause")
        assert held.json()["state"] == "paused"
        assert spaces(served) == {"starter-text"}
        served.client.post(f"/api/v1/jobs/{job['id']}/resume")
        assert spaces(served) == {"starter-text"}
        go.set()
        while served.client.get(f"/api/v1/jobs/{job['id']}").json()["state"] == "running":
            assert spaces(served) <= {"starter-text", space(place)}
        done = served.wait(job["id"])
        assert done["state"] == "done", done
        assert done["progress"]["files_done"] == done["progress"]["files"] == COUNT
        assert spaces(served) == {space(place)}
        for body, status in (({"model": "onnx:/etc"}, 404), ({"model": "starter", "beside": 0}, 422), ({}, 422)):
            assert served.client.post("/api/v1/models/use", json=body).status_code == status
