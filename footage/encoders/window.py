"""Encoders of windows of frames, by transformers: VideoMAE, TimeSformer, X-CLIP (words too) and V-JEPA 2.

VideoMAE and V-JEPA 2 give the mean of what they say of all places, TimeSformer the one place that stands for the
window, X-CLIP the vector that lies in one space with words.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from footage.encoders.row import EncoderRow, Options
from footage.encoders.torch_device import Machine
from footage.encoders.torch_encoder import TorchEncoder, Words, try_out
from footage.encoders.transformers import load_part, read_config, read_steps, read_tokeniser, text_features, vector
from footage.encoders.weights import Held, require
from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from footage.encoders.preprocess import Preprocess
    from footage.types import Float32, UInt8

_KINDS = ("videomae", "timesformer", "xclip", "vjepa2")


def build(row: EncoderRow, options: Options) -> WindowModel:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return WindowModel(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load the model once and run it.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(WindowModel(row, weights, Options(device="cpu")))


class WindowModel(TorchEncoder):
    """An encoder of windows; see `WindowEncoder` for the protocol."""

    @property
    def frames(self) -> int:
        """How many frames a window has."""
        return self.named.window.frames if self.named.window else 1

    @cached_property
    def _config(self) -> Any:
        config = read_config(self.weights.folder)
        kind = config.model_type
        if kind not in _KINDS:
            raise EncoderError(f"{self.named.name} is {kind}, no model of windows", hint=f"one of: {', '.join(_KINDS)}")
        made = getattr(config, "num_frames", 0) or getattr(getattr(config, "vision_config", None), "num_frames", 0)
        if kind != "vjepa2" and made != self.frames:  # V-JEPA 2 takes any number
            raise EncoderError(f"{self.named.name} sees {made} frames, not {self.frames}", hint="pull it again")
        return config

    @cached_property
    def _machine(self) -> Machine:
        machine = Machine(self.options)
        machine.batch = max(1, machine.batch // self.frames)
        return machine

    @cached_property
    def steps(self) -> Preprocess:
        """As the processor's settings describe them, for each frame."""
        video = "video_preprocessor_config.json"
        folder = self.weights.folder
        return read_steps(folder, video if (folder / video).exists() else "preprocessor_config.json")

    def told_dim(self) -> int:
        """The dimension in the configuration."""
        return int(getattr(self._config, "projection_dim", 0) or self._config.hidden_size)

    def make_image_tower(self) -> Any:
        """The network of windows, float32 (n, t, 3, h, w)."""
        without = ("text", "prompts", "predictor")
        forward = {"xclip": _xclip, "vjepa2": _vjepa2, "timesformer": _first}.get(self._config.model_type, _mean)
        return load_part(self.weights.folder, self._config, without, forward)

    def make_text_tower(self) -> Any:
        """What reads words, in X-CLIP."""
        if "text" not in self.named.answers:
            return super().make_text_tower()
        return load_part(self.weights.folder, self._config, ("vision", "visual", "mit", "prompts"), text_features)

    def make_tokeniser(self) -> Words:
        """The tokeniser of X-CLIP."""
        return read_tokeniser(self.weights.folder) if "text" in self.named.answers else super().make_tokeniser()

    def encode_images(self, images: UInt8 | Sequence[UInt8]) -> dict[str, Float32]:
        """Encode RGB pictures of any size, each as a window in which nothing moves.

        Raises:
            EncoderUnavailable: a library is not installed.
            EncoderError: they are of another kind, or the network is broken or of another model.
        """
        return self._windows(len(images), lambda start, stop: np.repeat(self.steps(images[start:stop]), self.frames, 0))

    def encode_windows(self, windows: UInt8) -> dict[str, Float32]:
        """Encode windows, uint8 (n, t, h, w, 3) with t the row's frames.

        Raises:
            EncoderUnavailable: a library is not installed.
            EncoderError: they are of another kind, or the network is broken or of another model.
        """
        if windows.ndim != 5 or windows.shape[1] != self.frames:
            raise EncoderError(
                f"windows must be uint8 (n, {self.frames}, h, w, 3), not {windows.dtype} {windows.shape}"
            )
        shape = (-1, *windows.shape[2:])
        return self._windows(len(windows), lambda start, stop: self.steps(windows[start:stop].reshape(shape)))

    def _windows(self, n: int, frames: Callable[[int, int], Float32]) -> dict[str, Float32]:
        if not n:
            return self._filled(None)
        network = self._image_tower()
        height, width = self.steps.size

        def rows(start: int, stop: int) -> tuple[Float32]:
            return (frames(start, stop).reshape(stop - start, self.frames, 3, height, width),)

        return self._filled(self.machine.run(network, rows, n))


def _mean(model: Any, pixels: Any) -> Any:
    return _places(model, pixel_values=pixels).mean(dim=1)


def _first(model: Any, pixels: Any) -> Any:
    return _places(model, pixel_values=pixels)[:, 0]


def _vjepa2(model: Any, pixels: Any) -> Any:
    return _places(model, pixel_values_videos=pixels, skip_predictor=True).mean(dim=1)


def _xclip(model: Any, pixels: Any) -> Any:
    return vector(model.get_video_features(pixel_values=pixels))


def _places(model: Any, **given: Any) -> Any:
    """What the library's own model, which `load_part` put a `forward` over, says of each place of the window."""
    base: Any = type(model).__mro__[1]
    return base.forward(model, **given).last_hidden_state
