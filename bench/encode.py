"""How many pictures a second does each model take, on each backend, against torch eager in the same run?

    python bench/encode.py [--models NAME ...] [--repeat N] [--pictures N] [--keep DIR] [--ingest] [--json]

Names: those of weights-free models (`starter`, `opencv-hog`, ...), `onnx:FOLDER` and the like, and the architectures of
open_clip (`ViT-B-32`, `ViT-B-32-SigLIP2-256`), which are made here of their real size with RANDOM weights of a seed:
good for speed and for nothing else. Such a model is measured three times: on torch eager, and as our own ONNX export of
it in floats and in int8; without torch it is left out. Pictures are of the size that the model asks for, in batches of
16, with the model's own last steps (crop, normalise) in the time. Backends take turns, N times; the best is shown, and
the spread of the turns beside it, since these machines are shared.

`--ingest` also measures `bench/index.py`'s ratio of a whole index to its floor (bar 1.25) with each encoder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import index as ingest
import numpy as np

from footage.encoders import Encoder, Options, load

BATCH = 16
USUAL = ["starter", "opencv-colour", "opencv-hog", "opencv-dhash", "opencv-pdq", "ViT-B-32"]
BACKENDS = ("torch eager", "onnxruntime float", "onnxruntime int8")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model on one backend."""

    model: str
    backend: str
    name: str  # as Footage loads it


def entries(names: list[str], folder: Path) -> list[Entry]:
    """What is measured; the models that are not here yet are made."""
    from footage.encoders import ROWS

    out: list[Entry] = []
    for name in names:
        if name in ROWS or ":" in name:
            out.append(Entry(name, backend_of(name), name))
        elif find_spec("torch") is None:
            print(f"{name}: left out, there is no torch here", file=sys.stderr)
        else:
            out += random_model(name, folder)
    return out


def backend_of(name: str) -> str:
    if name.startswith("opencv"):
        return "OpenCV"
    return "onnxruntime float" if name == "starter" or name.startswith("onnx:") else "as given"


def random_model(architecture: str, folder: Path) -> list[Entry]:
    """An architecture of open_clip in its real size with random weights, on the three backends."""
    from footage.encoders.export import export

    made = folder / architecture
    if not (made / "torch").exists():
        write_open_clip(architecture, made / "torch")
    name = f"open_clip:{made / 'torch'}"
    found = [Entry(architecture, BACKENDS[0], name)]
    for backend, source, int8 in ((BACKENDS[1], name, False), (BACKENDS[2], f"onnx:{made / 'float'}", True)):
        target = made / ("int8" if int8 else "float")
        if not target.exists():
            told = export(source, target, int8=int8, cache_dir=folder / "cache")
            print(f"{architecture}: exported, {told.size_bytes / 1e6:.0f} MB, {dict(told.agreement)}", file=sys.stderr)
        found.append(Entry(architecture, backend, f"onnx:{target}"))
    return found


def write_open_clip(architecture: str, folder: Path) -> None:
    """A folder as open_clip's `local-dir:`, with random weights and, where it wants one, a tokeniser."""
    from footage.encoders.torch_device import library

    torch, open_clip = library("torch"), library("open_clip")
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    shape = open_clip.get_model_config(architecture)
    if shape["text_cfg"].get("hf_tokenizer_name"):
        from tokenizers import Tokenizer, models, pre_tokenizers

        words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2}, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>"}), encoding="utf-8")
    described = {"model_cfg": shape, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described), encoding="utf-8")
    torch.manual_seed(1)
    network = open_clip.create_model(architecture, pretrained=None, pretrained_hf=False)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, str(folder / "open_clip_model.safetensors"))


def measure(found: list[Entry], repeat: int, count: int, cache: Path) -> list[dict[str, Any]]:
    """Pictures a second of each entry; they take turns."""
    rng = np.random.default_rng(1)
    encoders: list[tuple[Entry, Encoder, Any]] = []
    for entry in found:
        encoder = load(entry.name, options=Options(cache, device="cpu"))
        width, height = encoder.input_size(1920, 1080)
        grid = rng.integers(0, 256, (BATCH, height // 8 + 1, width // 8 + 1, 3), np.uint8)
        pictures = grid.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
        encoder.encode_images(pictures)  # loaded and warm
        encoders.append((entry, encoder, pictures))
    rates: dict[Entry, list[float]] = {entry: [] for entry in found}
    for _ in range(repeat):
        for entry, encoder, pictures in encoders:
            started, done = time.perf_counter(), 0
            while done < count:
                encoder.encode_images(pictures)
                done += BATCH
            rates[entry].append(done / (time.perf_counter() - started))
    eager = {entry.model: max(rates[entry]) for entry in found if entry.backend == BACKENDS[0]}
    return [
        {
            "model": entry.model,
            "backend": entry.backend,
            "images_per_s": round(max(turns), 1),
            "slowest_turn": round(min(turns), 1),
            "against_torch_eager": round(max(turns) / eager[entry.model], 2) if entry.model in eager else None,
        }
        for entry, turns in rates.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=USUAL)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=64, help="in each turn")
    parser.add_argument("--ingest", action="store_true", help="the ratio of a whole index to its floor, too")
    parser.add_argument("--video", type=Path, help="of --ingest; else the one that bench/index.py makes")
    parser.add_argument("--keep", type=Path, help="folder for the models that are made; used again by the next run")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = entries(a.models, a.keep or Path(scratch))
        if not a.json:
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
        rows = measure(found, a.repeat, a.pictures, Path(scratch) / "cache")
        if a.ingest:
            video = a.video or ingest.joined(ingest.HERE / "data" / "joined-1080p.mp4")
            for row, entry in zip(rows, found, strict=True):
                told = ingest.ratio([video], a.repeat, entry.name)
                row |= {"ingest_ratio": told["ratio"], "realtime": told["realtime"], "floors_s": told["floors_s"]}
                print(f"{entry.model} ({entry.backend}): ingest ratio {told['ratio']}", file=sys.stderr)
    for row in rows:
        print(json.dumps(row) if a.json else "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
