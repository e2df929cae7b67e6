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
from torch_models import TEXTS, only, same

from footage import encoders
from footage.encoders.records import Held
from footage.encoders.row import Options
from footage.encoders.window import WindowModel
from footage.errors import EncoderError
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


def make(folder: Path, kind: str) -> None:
    """Saved as their makers save them: VideoMAE and TimeSformer within a model of a task."""
    wanted = config(kind)
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
