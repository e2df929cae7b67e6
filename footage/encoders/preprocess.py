"""What a network is given: pictures scaled, cropped and normalised as its makers did it, with Pillow and numpy only.

Three libraries describe the same few steps in three ways, and differ in how they round. `Preprocess` is the steps;
`from_open_clip`, `from_transformers` and `from_timm` read the descriptions. The tests run the three libraries beside
this file on real photographs of odd sizes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from PIL import Image

from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from footage.types import Float32, UInt8

Resize: TypeAlias = Literal["shortest", "longest", "squash", "none"]
Triple: TypeAlias = tuple[float, float, float]

CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_THIN = 8  # a picture is handed over with sides at most so far apart: what lies further out is cropped anyway


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The steps from an RGB picture of any size to the input of a network."""

    size: tuple[int, int]  # (height, width) of the input
    resize: Resize = "shortest"  # the side that is brought to `target`; squash: both; none: cropped only
    target: tuple[int, int] | None = None  # (height, width) to scale to; None: `size`
    interpolation: str = "bicubic"
    round_sides: bool = False  # the other side is rounded (timm's ResizeKeepRatio), else cut (torchvision's Resize)
    round_crop: bool = True  # the corner of the crop is rounded half to even (torchvision), else cut (transformers)
    fill: tuple[int, int, int] = (0, 0, 0)  # of what the scaled picture does not reach
    scale: float = 1 / 255
    offset: float = 0.0  # added after scaling, before mean and std
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if min(*self.size, *(self.target or self.size)) < 1 or max(*self.size, *(self.target or self.size)) > 4096:
            raise EncoderError(f"an input of {self.size[1]} x {self.size[0]} pixels makes no sense")
        if self.interpolation not in _FILTERS:
            known = ", ".join(sorted(_FILTERS))
            raise EncoderError(f"unknown interpolation: {self.interpolation}", hint=f"one of: {known}")
        if self.resize not in ("shortest", "longest", "squash", "none"):
            raise EncoderError(f"unknown way to scale: {self.resize}", hint="one of: shortest, longest, squash, none")
        if min(self.std) <= 0:
            raise EncoderError(f"the standard deviation of an input must be above 0, not {self.std}")

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) to which a picture of this size is scaled before it is cropped or padded."""
        if width <= 0 or height <= 0:
            raise EncoderError(f"a picture of {width} x {height} pixels has no size")
        down, across = self.target or self.size
        if self.resize == "none":
            return width, height
        if self.resize == "squash":
            return across, down
        if self.resize == "shortest" and down == across and not self.round_sides:
            longer = max(1, int(down * max(width, height) / min(width, height)))
            return (down, longer) if width <= height else (longer, down)
        ratios = (height / down, width / across)
        ratio = max(ratios) if self.resize == "longest" else min(ratios)
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) in which pictures should come, so that nothing but cropping is left to do."""
        across, down = self.scaled(width, height)
        if self.resize == "none":
            return across, down
        limit = _THIN * max(self.target or self.size)
        return min(across, limit), min(down, limit)

    def picture(self, image: UInt8) -> UInt8:
        """Scale and crop one RGB picture uint8 (h, w, 3) to uint8 (height, width, 3)."""
        height, width = image.shape[:2]
        across, down = self.scaled(width, height)
        left, top = self._corner(across, self.size[1]), self._corner(down, self.size[0])
        x0, x1 = max(0, left), min(across, left + self.size[1])
        y0, y1 = max(0, top), min(down, top + self.size[0])
        how = _FILTERS[self.interpolation]
        if (across, down) == (width, height):
            kept = image[y0:y1, x0:x1]
        elif max(across, down) <= _THIN * max(self.target or self.size):
            kept = np.asarray(Image.fromarray(image).resize((across, down), how))[y0:y1, x0:x1]
        else:  # only the part that is kept: the same to a level or two, and the rest would not fit into memory
            sx, sy = width / across, height / down
            box = (x0 * sx, y0 * sy, min(width, x1 * sx), min(height, y1 * sy))
            kept = np.asarray(Image.fromarray(image).resize((x1 - x0, y1 - y0), how, box=box))
        if kept.shape[:2] == self.size:
            return kept
        out = np.empty((*self.size, 3), np.uint8)
        out[:] = self.fill
        out[y0 - top : y1 - top, x0 - left : x1 - left] = kept
        return out

    def _corner(self, have: int, want: int) -> int:
        """Where the crop begins; below 0: so much is padded before."""
        if have < want:
            return -((want - have) // 2)
        half = (have - want) / 2
        return round(half) if self.round_crop else int(half)

    def pictures(self, images: UInt8 | Sequence[UInt8]) -> UInt8:
        """Scale and crop RGB pictures, uint8 (n, h, w, 3) or a list of (h, w, 3), to uint8 (n, height, width, 3)."""
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise EncoderError(f"pictures must be uint8 (n, h, w, 3), not {image.dtype} {image.shape} each")
        return (
            np.stack([self.picture(image) for image in images]) if len(images) else np.empty((0, *self.size, 3), "u1")
        )

    def normalise(self, pictures: UInt8) -> Float32:
        """Bring pictures uint8 (n, height, width, 3) to the network's numbers: float32 (n, 3, height, width)."""
        gain = np.float32(self.scale) / np.array(self.std, np.float32)
        shift = (np.float32(self.offset) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray((pictures * gain + shift).transpose(0, 3, 1, 2), np.float32)

    def __call__(self, images: UInt8 | Sequence[UInt8]) -> Float32:
        """All steps: RGB pictures of any size to float32 (n, 3, height, width)."""
        return self.normalise(self.pictures(images))

    def as_dict(self) -> dict[str, Any]:
        """The steps as JSON, for `from_dict`."""
        return asdict(self)


def from_dict(values: Mapping[str, Any]) -> Preprocess:
    """Read what `Preprocess.as_dict` wrote.

    Raises:
        EncoderError: a field is unknown, missing or of the wrong kind.
    """
    try:
        plain: dict[str, Any] = {
            k: tuple(cast("list[Any]", v)) if isinstance(v, list) else v for k, v in values.items()
        }
        return Preprocess(**plain)
    except TypeError as error:
        raise EncoderError(f"cannot read the pre-processing: {error}") from None


def from_open_clip(values: Mapping[str, Any]) -> Preprocess:
    """Read open_clip's `preprocess_cfg.json`, or the `preprocess_cfg` of its `open_clip_config.json`."""
    with _reading("open_clip"):
        size = _pair(values["size"])
        resize = values.get("resize_mode") or "shortest"
        fill = int(values.get("fill_color") or 0)
        return Preprocess(
            size=size,
            resize=resize,
            # open_clip knows two filters only, and takes bicubic for anything else.
            interpolation="bilinear" if values.get("interpolation") == "bilinear" else "bicubic",
            round_sides=size[0] != size[1] or resize == "longest",
            fill=(fill, fill, fill),
            mean=_triple(values.get("mean") or CLIP_MEAN),
            std=_triple(values.get("std") or CLIP_STD),
        )


def from_transformers(values: Mapping[str, Any]) -> Preprocess:
    """Read the `preprocessor_config.json` of transformers, of pictures and of videos.

    Raises:
        EncoderError: the description is of a kind that gives no input of a fixed size.
    """
    with _reading("transformers"):
        kind = str(values.get("image_processor_type") or values.get("feature_extractor_type") or "")
        if "max_num_patches" in values or "Siglip2Image" in kind:
            raise EncoderError(
                "models with pictures of any aspect (NaFlex) are not supported", hint="take a fixed size"
            )
        crop = values.get("crop_size", 224) if values.get("do_center_crop") else None
        resize, target = _hf_size(values, kind)
        if kind.startswith("ConvNext") and resize == "shortest":
            resize, target, crop = _convnext(target, float(values.get("crop_pct") or 224 / 256))
        if not values.get("do_resize", True):
            resize = "none"
        if crop is None and resize in ("shortest", "longest", "none"):
            raise EncoderError(f"the input has no fixed size: {dict(values).get('size')} without a crop")
        rescale = float(values.get("rescale_factor", 1 / 255)) if values.get("do_rescale", True) else 1.0
        plain = not values.get("do_normalize", True)
        return Preprocess(
            size=_hf_crop(crop) if crop is not None else target,
            resize=resize,
            target=target,
            interpolation=_hf_filter(values.get("resample", 2)),
            round_crop=False,
            scale=rescale,
            mean=(0.0, 0.0, 0.0) if plain else _triple(values.get("image_mean") or IMAGENET_MEAN),
            std=(1.0, 1.0, 1.0) if plain else _triple(values.get("image_std") or IMAGENET_STD),
        )


def from_timm(values: Mapping[str, Any]) -> Preprocess:
    """Read timm's `pretrained_cfg` (also inside a `config.json` of timm)."""
    with _reading("timm"):
        values = cast("Mapping[str, Any]", values.get("pretrained_cfg", values))
        _, height, width = values["input_size"]
        mode = {"squash": "squash", "border": "longest"}.get(values.get("crop_mode") or "center", "shortest")
        part = float(values.get("crop_pct") or 0.875)
        target = (math.floor(height / part), math.floor(width / part))
        mean = _triple(values.get("mean") or IMAGENET_MEAN)
        red, green, blue = (round(255 * v) for v in mean)
        return Preprocess(
            size=(int(height), int(width)),
            resize=cast("Resize", mode),
            target=target,
            interpolation=values.get("interpolation") or "bilinear",
            round_sides=mode == "longest" or target[0] != target[1],
            fill=(red, green, blue) if mode == "longest" else (0, 0, 0),
            mean=mean,
            std=_triple(values.get("std") or IMAGENET_STD),
        )


class _reading:
    """Errors of a description that is not what it says become one line."""

    def __init__(self, library: str) -> None:
        self.library = library

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, (KeyError, TypeError, ValueError, AttributeError)):
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise EncoderError(f"cannot read the pre-processing of {self.library}: {what}") from None


def _hf_size(values: Mapping[str, Any], kind: str) -> tuple[Resize, tuple[int, int]]:
    size = values.get("size", 224)
    if isinstance(size, (int, float)):
        # Before sizes had names, CLIP's family meant the shorter side, the others both.
        short = "CLIP" in kind or "Bit" in kind or "ConvNext" in kind or "VideoMAE" in kind
        return ("shortest" if short else "squash"), _pair(size)
    if "shortest_edge" in size:
        return "shortest", _pair(size["shortest_edge"])
    if "longest_edge" in size:
        raise EncoderError("an input with the longest edge given has no fixed size")
    return "squash", (int(size["height"]), int(size["width"]))


def _hf_crop(crop: Any) -> tuple[int, int]:
    values: Any = crop
    return (int(values["height"]), int(values["width"])) if isinstance(crop, dict) else _pair(values)


def _hf_filter(number: Any) -> str:
    return Image.Resampling(int(number)).name.lower()


def _convnext(target: tuple[int, int], part: float) -> tuple[Resize, tuple[int, int], int | None]:
    """ConvNext scales larger by `crop_pct` and crops, but large inputs are squashed without a crop."""
    side = target[0]
    if side >= 384:
        return "squash", target, None
    return "shortest", _pair(int(side / part)), side


def _pair(value: Sequence[int] | float) -> tuple[int, int]:
    if isinstance(value, (int, float)):
        return int(value), int(value)
    height, width = value[-2:]
    return int(height), int(width)


def _triple(value: Any) -> Triple:
    if isinstance(value, (int, float)):
        return float(value), float(value), float(value)
    red, green, blue = map(float, cast("Sequence[float]", value))
    return red, green, blue
