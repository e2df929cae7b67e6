"""Encoders of windows beside transformers, on small models of the four kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
import reference
import torch_models
from motion import film
from torch_models import TEXTS, only, same

from footage import encoders
from footage.config import Settings
from footage.encoders.records import Held
from footage.encoders.row import Options
from footage.encoders.weights import pull
from footage.encoders.window import WindowModel
from footage.errors import EncoderError
from footage.library import Library
from footage.search import Part
from footage.types import Window

torch = reference.torch_()
transformers = reference.need("transformers")
FRAMES = 4
TINY: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SEES: dict[str, Any] = {**TINY, "image_size": 32, "patch_size": 8}


def config(kind: str) -> Any:
    if kind == "videomae":
        return transformers.VideoMAEConfig(**SEES, num_frames=FRAMES)
    if kind == "timesformer":
        return transformers.TimesformerConfig(**SEES, num_frames=FRAMES)
    if kind == "vjepa2":
        return transformers.VJEPA2Config(
            patch_size=8, crop_size=32, frames_per_clip=FRAMES, hidden_size=48, num_attention_heads=4,
            num_hidden_layers=2, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1,
        )  # fmt: skip
    tokenizer = onnx_models.clip_like()
    end = tokenizer.token_to_id("<|endoftext|>")
    text = {**TINY, "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 16, "eos_token_id": end}
    mit = {"mit_hidden_size": 24, "mit_intermediate_size": 32, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    return transformers.XCLIPConfig(
        text_config=text, vision_config={**SEES, **mit, "num_frames": FRAMES}, projection_dim=24, prompt_layers=1,
        prompt_num_attention_heads=2,
    )  # fmt: skip


def processor() -> Any:
    return transformers.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def make(folder: Path, kind: str, wanted: Any = None) -> None:
    """Saved as their makers save them: VideoMAE and TimeSformer within a model of a task."""
    wanted = wanted or config(kind)
    build: Any = transformers.MODEL_MAPPING[type(wanted)]
    if kind in ("videomae", "timesformer"):
        build = transformers.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING[type(wanted)]
    torch_models.shake(lambda: build(wanted), 7).save_pretrained(str(folder))
    name = "video_preprocessor_config.json" if kind == "vjepa2" else "preprocessor_config.json"
    torch_models.write_json(folder / name, {**processor().to_dict(), "image_processor_type": "VideoMAEImageProcessor"})
    if kind == "x-clip":
        onnx_models.clip_like().save(str(folder / "tokenizer.json"))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|endoftext|>", "model_max_length": 16}
        torch_models.write_json(folder / "tokenizer_config.json", settings)


def opened(folder: Path, kind: str, frames: int = FRAMES) -> WindowModel:
    row = encoders.ROWS[kind]
    [space] = row.spaces
    row = replace(row, spaces=(replace(space, dim=0, window=Window(frames, 2.0, 1.0)),))
    return WindowModel(row, Held(folder, {"model.safetensors": "0"}), Options())


def windows(n: int = 3) -> Any:
    """Cut from a photograph, moved a little from frame to frame."""
    photo = reference.photographs()[0]
    return np.stack([[photo[20 * w : 20 * w + 91, 9 * t : 9 * t + 77] for t in range(FRAMES)] for w in range(n)])


KINDS = ["videomae", "timesformer", "x-clip", "vjepa2"]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_transformers(tmp_path: Path, kind: str) -> None:
    make(tmp_path / "model", kind)
    ours = opened(tmp_path / "model", kind)
    theirs = transformers.AutoModel.from_pretrained(str(tmp_path / "model")).eval()
    given = windows()
    ready = [np.asarray(processor()(list(window), return_tensors="np")["pixel_values"]) for window in given]
    pixels = torch.as_tensor(np.concatenate(ready))
    with torch.no_grad():
        if kind == "x-clip":
            wanted = theirs.get_video_features(pixels).pooler_output
        elif kind == "vjepa2":
            wanted = theirs(pixel_values_videos=pixels, skip_predictor=True).last_hidden_state.mean(1)
        else:
            states = theirs(pixels).last_hidden_state
            wanted = states[:, 0] if kind == "timesformer" else states.mean(1)
    found = only(ours.encode_windows(given))
    same(found, wanted)
    single = np.concatenate([only(ours.encode_windows(window[None])) for window in given])
    assert np.abs(found - single).max() < 1e-5
    still = np.repeat(given[:1, :1], FRAMES, axis=1)
    assert np.abs(only(ours.encode_windows(still)) - only(ours.encode_images(given[0, :1]))).max() < 1e-5
    assert ours.row.dim == found.shape[1]
    assert only(ours.encode_windows(given[:0])).shape == (0, ours.row.dim)


def test_words_of_x_clip_equal_transformers(tmp_path: Path) -> None:
    make(tmp_path / "model", "x-clip")
    ours = opened(tmp_path / "model", "x-clip")
    theirs = transformers.AutoModel.from_pretrained(str(tmp_path / "model")).eval()
    tokeniser = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "model"))
    words = tokeniser(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    given = {name: words[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        same(only(ours.encode_texts(TEXTS)), theirs.get_text_features(**given).pooler_output)
    assert "_image" not in vars(ours)


def test_what_is_no_window(tmp_path: Path) -> None:
    make(tmp_path / "model", "videomae")
    ours = opened(tmp_path / "model", "videomae")
    with pytest.raises(EncoderError, match="windows must be"):
        ours.encode_windows(windows()[:, :2])
    with pytest.raises(EncoderError, match="answers no words"):
        ours.encode_texts(["a red car"])
    with pytest.raises(EncoderError, match="sees 4 frames, not 16"):
        opened(tmp_path / "model", "videomae", 16).encode_images(windows()[0, :1])
    torch_models.hf_folder(tmp_path / "clip", "clip")
    with pytest.raises(EncoderError, match="no model of windows"):
        opened(tmp_path / "clip", "videomae").encode_images(windows()[0, :1])


def test_a_file_cut_short(tmp_path: Path) -> None:
    make(tmp_path / "model", "videomae")
    path = tmp_path / "model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EncoderError, match="cannot load") as caught:
        opened(tmp_path / "model", "videomae").encode_windows(windows())
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------- in a library


def published(folder: Path, kind: str) -> None:
    """A checkpoint of the shape that the row tells: frames and dimension are the real ones, all else is tiny."""
    row = encoders.ROWS[kind]
    assert row.window is not None
    wide: dict[str, Any] = {**SEES, "num_hidden_layers": 1, "num_frames": row.window.frames}
    if kind == "videomae":
        wanted = transformers.VideoMAEConfig(**{**wide, "hidden_size": row.dim})
    elif kind == "timesformer":
        wanted = transformers.TimesformerConfig(**{**wide, "hidden_size": row.dim})
    elif kind == "vjepa2":
        wanted = transformers.VJEPA2Config(
            patch_size=8, crop_size=32, frames_per_clip=row.window.frames, hidden_size=row.dim, num_attention_heads=4,
            num_hidden_layers=1, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1,
        )  # fmt: skip
    else:
        wanted = config(kind)
        wanted.projection_dim = wanted.vision_config.mit_hidden_size = row.dim
        wanted.vision_config.num_frames = row.window.frames
    make(folder, kind, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_library_uses_it(tmp_path: Path, kind: str) -> None:
    """Pulled from a folder, filled from real windows, asked with a clip; X-CLIP with words too."""
    published(tmp_path / "model", kind)
    row, cache = encoders.ROWS[kind], tmp_path / "cache"
    assert row.window is not None
    pull(row, cache_dir=cache, source=tmp_path / "model", accept=True)
    films = [film(tmp_path / "films" / f"{way}.mp4", seed, way, seconds=4.0) for seed, way in enumerate(("left", "up"))]
    with Library.open(tmp_path / "library", settings=Settings(model="starter", cache=str(cache))) as lib:
        lib.index(films)
        told: list[str] = []
        used = lib.use(kind, on_decoding=told.append)
        assert told == [f"{kind} looks at motion, which key frames do not show"]
        assert (used.state, used.videos, used.decoded) == ("complete", 2, 2)
        assert sorted(used.answers) == (["motion", "text"] if kind == "x-clip" else ["motion"])
        assert lib.doctor() == []
        store = lib._opened()
        for video in lib.videos():
            rows = store.vectors(kind, video.id)
            assert len(rows) == row.window.count(4.0) and rows.vectors.shape[1] == row.dim
            assert np.allclose(np.linalg.norm(rows.vectors, axis=1), 1, atol=2e-3)
        best = lib.search(parts=[Part("video", films[1], like="motion")], k=1)[0]
        assert Path(best.video.path) == films[1] and best.evidence[0].score == pytest.approx(1, abs=2e-3)
        assert {e.channel for e in best.evidence} == {"motion"}
        assert "motion" in {e.channel for e in lib.search(video=films[0], k=1)[0].evidence}
        words = lib.search("a red car", k=1)[0].evidence
        assert {e.space for e in words} == {kind if kind == "x-clip" else "starter-text"}
    if kind != "x-clip":
        return
    with Library.open(tmp_path / "new", settings=Settings(model="starter", cache=str(cache))) as new:
        new.index(films, model=kind)
        roles = {"text": kind, "motion": kind, "image": "starter-image", "copy": "layout"}
        assert new.stamp is not None and new.stamp.roles == roles
        with Library.open(tmp_path / "library", settings=Settings(cache=str(cache))) as lib:
            for video in lib.videos():
                mine, theirs = (each._opened().vectors(kind, video.id) for each in (new, lib))
                assert mine.start.tolist() == theirs.start.tolist()
                np.testing.assert_allclose(mine.vectors, theirs.vectors, atol=3e-3)
