"""Our own ONNX files of a model on torch, or of an ONNX model in int8: compared, and only then given their name.

The towers are written one after the other, so that one is in memory at a time. What is compared is the whole way from
pictures and words to vectors, read back as `onnx:FOLDER` reads them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.encoders import load, lookup
from footage.encoders.export_graph import needs, quantise, write_graph
from footage.encoders.onnx import OnnxEncoder, row_of
from footage.encoders.onnx.layouts import write_own
from footage.encoders.records import Held
from footage.encoders.row import Options
from footage.encoders.torch_encoder import TorchEncoder
from footage.errors import ConfigError, EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from footage.encoders.row import EncoderRow
    from footage.encoders.torch_encoder import Words
    from footage.types import Float32, UInt8

_ONNX = "footage.encoders.onnx:build"

TOLERANCE = 1e-4
"""How far a number of a unit-length vector may lie from torch's; of real graphs some 3e-7 was seen."""

AGREEMENT = 0.5
"""The cosine below which an int8 graph is no form of its float graph any more, but a mistake."""

TEXTS = (
    "a red car", "Two DOGS play on the beach, at sunset!", "一只猫坐在沙发上，看着窗外。", "😀🏽‍🚀 party 🎉", "",
    "<|endoftext|> are words", "ein rotes Auto fährt durch die Straße", "word " * 200,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote."""

    model: str
    folder: str
    dim: int
    answers: tuple[str, ...]
    size_bytes: int
    apart: Mapping[str, float]  # image, text -> the largest difference of a number from torch's, of the float graphs
    agreement: Mapping[str, tuple[float, float]]  # int8: image, text -> lowest and mean cosine with the float graphs

    def as_dict(self) -> dict[str, Any]:
        """The one-line JSON object of the command line."""
        return asdict(self)


def export(
    name: str,
    to: Path,
    *,
    int8: bool = False,
    cache_dir: Path | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write a model of pictures, or of pictures and words, that runs on torch as ONNX; `onnx:TO` then reads it.

    It appears under its name complete and compared, or not at all. `int8` quantises the products of matrices, also of
    a model that is ONNX already; such vectors are another space. `on_step` is told what is being done.

    Raises:
        ConfigError: it is no such model, or there is something at `to`.
        EncoderUnavailable: its weights or the extra are not here, or the folder cannot be written.
        EncoderError: torch cannot write it, or what was written gives other vectors.
    """
    row = _checked(name, to, int8)
    to = to.absolute()
    staged = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        staged.mkdir(parents=True)
        made, apart, agreement = staged / "float", dict[str, float](), dict[str, tuple[float, float]]()
        if row.factory == _ONNX:
            plain = load(row.name, options=Options(cache_dir, device="cpu"))
        else:
            apart = _float(row, made, cache_dir, on_step)
            plain = _reader(made)
        assert isinstance(plain, OnnxEncoder)
        dim, answers = plain.row.dim, plain.row.answers
        if int8:
            made = staged / "int8"
            agreement = _int8(row.name, plain, made, on_step)
        if to.exists():  # empty, as was seen
            to.rmdir()
        made.replace(to)
    except OSError as error:
        raise EncoderUnavailable(f"cannot write {to}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    return Exported(row.name, str(to), dim, answers, size, apart, agreement)


def _checked(name: str, to: Path, int8: bool) -> EncoderRow:
    row = lookup(name)
    if row.window is not None:
        raise ConfigError(
            f"{row.name} looks at windows of frames, which cannot be exported", hint="export a model of pictures"
        )
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"there is something at {to}", hint="name a folder that does not exist, or an empty one")
    if row.factory == _ONNX:
        if not int8:
            raise ConfigError(f"{row.name} is ONNX already", hint="--int8 quantises it")
    elif not row.install.endswith("[torch]'"):
        raise ConfigError(f"{row.name} does not run on torch: there is nothing to export", hint="use it as it is")
    else:
        needs()
    return row


def _float(row: EncoderRow, folder: Path, cache_dir: Path | None, on_step: Callable[[str], None]) -> dict[str, float]:
    """Write the graphs and all beside them; how far their vectors are from torch's."""
    # In 32 bits on the CPU, wherever models run otherwise: the graphs are to be those of the maker.
    encoder = load(row.name, options=Options(cache_dir, device="cpu"))
    assert isinstance(encoder, TorchEncoder)
    wanted = {"image": _image(encoder, folder / "visual", on_step)}
    words: Words | None = None
    if "text" in encoder.named.answers:
        words = encoder.make_tokeniser()
        wanted["text"] = _text(encoder, words, folder / "textual", on_step)
    rules = words.tokeniser.rules if words else None
    write_own(folder, encoder.named.name, wanted["image"].shape[1], encoder.steps, rules)
    on_step("comparing")
    found = _vectors(_reader(folder))
    apart = {kind: float(np.abs(found[kind] - wanted[kind]).max()) for kind in wanted}
    for kind, most in apart.items():
        if not most <= TOLERANCE:  # also what is no number
            raise EncoderError(
                f"the {kind} tower of {encoder.named.name} gives other vectors as ONNX than on torch: {most:.1e} apart",
                hint=f"at most {TOLERANCE:.0e} is allowed; nothing was kept: use the model on torch",
            )
    return apart


def _image(encoder: TorchEncoder, folder: Path, on_step: Callable[[str], None]) -> Float32:
    on_step("the image tower")
    network = encoder.machine.place(encoder.make_image_tower())
    pixels = encoder.steps(pictures())
    wanted = encoder.machine.run(network, lambda start, stop: (pixels[start:stop],), len(pixels))
    write_graph(network, {"pixels": pixels[:2]}, folder / "model.onnx")
    return wanted


def _text(encoder: TorchEncoder, words: Words, folder: Path, on_step: Callable[[str], None]) -> Float32:
    on_step("the text tower")
    network = encoder.machine.place(encoder.make_text_tower())
    wanted = encoder.machine.run(network, lambda start, stop: words(TEXTS[start:stop]), len(TEXTS))
    rows = words.tokeniser(TEXTS[:2])
    feeds = {"input_ids": rows.ids, "attention_mask": rows.mask} if words.masked else {"input_ids": rows.ids}
    write_graph(network, feeds, folder / "model.onnx")
    words.tokeniser.save(folder / "tokenizer.json")
    return wanted


def _int8(name: str, plain: OnnxEncoder, made: Path, on_step: Callable[[str], None]) -> dict[str, tuple[float, float]]:
    """Quantise the graphs of a model; the lowest and the mean cosine with its own vectors."""
    layout = plain.layout
    on_step("the image tower in int8")
    done = quantise(layout.visual, made / "visual/model.onnx")
    if layout.tokens is not None:
        on_step("the text tower in int8")
        done |= quantise(layout.textual, made / "textual/model.onnx")
        shutil.copyfile(layout.tokenizer, made / "textual/tokenizer.json")
    if not done:
        raise ConfigError(f"{name} is all convolutions: int8 would change nothing", hint="use it without --int8")
    write_own(made, f"{name} in int8", plain.row.dim, layout.preprocess, layout.tokens, quantised="int8")
    on_step("comparing")
    wanted, found = _vectors(plain), _vectors(_reader(made))
    out: dict[str, tuple[float, float]] = {}
    for kind, vectors in wanted.items():
        cosines = (vectors * found[kind]).sum(axis=1)
        out[kind] = float(cosines.min()), float(cosines.mean())
        if not out[kind][0] >= AGREEMENT:
            raise EncoderError(
                f"int8 spoils the {kind} tower of {name}: a cosine of {out[kind][0]:.2f} with float",
                hint="nothing was kept: use it without --int8",
            )
    return out


def _reader(folder: Path) -> OnnxEncoder:
    """The very code that will use the files of a folder."""
    row = replace(row_of(f"onnx:{folder}", str(folder)), weights=None)
    return OnnxEncoder(row, Held(folder, {}), Options(device="cpu"))


def _vectors(encoder: OnnxEncoder) -> dict[str, Float32]:
    found: dict[str, Float32] = {}
    [found["image"]] = encoder.encode_images(pictures()).values()
    if "text" in encoder.row.answers:
        [found["text"]] = encoder.encode_texts(TEXTS).values()
    return found


def pictures() -> list[UInt8]:
    """Pictures of odd sizes made of a seed: clouds of all scales and colours with edges in them, and a black one."""
    rng = np.random.default_rng(4)
    out: list[UInt8] = []
    for height, width in ((360, 640), (511, 211), (97, 131), (300, 300), (231, 600)):
        picture = np.zeros((height, width, 3))
        for cell in (128, 64, 32, 16, 8, 4, 2):
            grid = rng.normal(0, cell**0.7, (height // cell + 1, width // cell + 1, 3))
            picture += grid.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
        picture[height // 4 : height // 2, width // 3 :] += rng.normal(0, 60, 3)
        low, high = np.percentile(picture, (1, 99))
        out.append(np.asarray(np.clip((picture - low) / (high - low) * 255, 0, 255), np.uint8))
    return [*out, np.zeros((64, 64, 3), np.uint8)]
