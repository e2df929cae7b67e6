"""Pre-processing: equal to open_clip, transformers and timm on real photographs, and errors for what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference

from footage.encoders.preprocess import (
    CLIP_MEAN,
    CLIP_STD,
    Preprocess,
    from_dict,
    from_open_clip,
    from_timm,
    from_transformers,
)
from footage.errors import EncoderError

ONE = 1 / 255 + 1e-6


def same(ours: Any, theirs: Any, std: Any) -> None:
    """Equal to one grey level of 255, in the scale of pixels."""
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    apart = np.abs(ours - theirs) * np.array(std, np.float32).reshape(1, 3, 1, 1)
    assert apart.max() <= ONE, apart.max() * 255


OPEN_CLIP = [
    {"size": 224, "mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "shortest"},
    {"size": [256, 256], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
    {"size": (160, 224), "mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic", "resize_mode": "shortest"},
    {"size": 225, "interpolation": "bilinear", "resize_mode": "longest", "fill_color": 127},
    {"size": 97, "interpolation": "bilinear", "resize_mode": "shortest"},
]


@pytest.mark.parametrize("cfg", OPEN_CLIP, ids=lambda c: f"{c['resize_mode']}-{c['size']}")
def test_equals_open_clip(cfg: dict[str, Any]) -> None:
    transform = reference.need("open_clip.transform")
    from PIL import Image

    full = {"mean": CLIP_MEAN, "std": CLIP_STD, "mode": "RGB", "fill_color": 0} | cfg
    theirs = transform.image_transform_v2(transform.PreprocessCfg(**full), is_train=False)
    ours = from_open_clip(cfg)
    for photo in reference.photographs():
        same(ours(photo[None]), theirs(Image.fromarray(photo)).numpy()[None], full["std"])


TIMM = [
    {"input_size": (3, 224, 224), "crop_pct": 0.9, "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.5,) * 3},
    {"input_size": (3, 224, 224), "crop_pct": 0.875, "interpolation": "bilinear"},
    {"input_size": (3, 518, 518), "crop_pct": 1.0, "crop_mode": "center", "interpolation": "bicubic"},
    {"input_size": (3, 256, 256), "crop_pct": 0.95, "crop_mode": "squash", "interpolation": "bicubic"},
    {"input_size": (3, 200, 240), "crop_pct": 0.97, "interpolation": "bicubic"},
    {"input_size": (3, 240, 240), "crop_pct": 1.0, "crop_mode": "border", "interpolation": "bicubic"},
]


@pytest.mark.parametrize("cfg", TIMM, ids=lambda c: f"{c.get('crop_mode')}-{c['input_size'][1:]}-{c['crop_pct']}")
def test_equals_timm(cfg: dict[str, Any]) -> None:
    data = reference.need("timm.data")
    from PIL import Image

    full = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "crop_mode": "center"} | cfg
    theirs = data.create_transform(**full, is_training=False)
    ours = from_timm({"architecture": "x", "pretrained_cfg": cfg})
    for photo in reference.photographs():
        same(ours(photo[None]), theirs(Image.fromarray(photo)).numpy()[None], full["std"])


HF: list[tuple[str, dict[str, Any]]] = [
    ("CLIPImageProcessor", {}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}),
    ("SiglipImageProcessor", {"size": {"height": 256, "width": 256}}),
    ("ViTImageProcessor", {}),
    ("BitImageProcessor", {"size": {"shortest_edge": 256}}),  # DINOv2
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    ("ChineseCLIPImageProcessor", {"size": {"height": 224, "width": 224}, "do_center_crop": False}),
    ("VideoMAEImageProcessor", {}),
]


@pytest.mark.parametrize(("kind", "given"), HF, ids=lambda v: v if isinstance(v, str) else str(sorted(v.items())))
@pytest.mark.parametrize("backend", ["", "Pil"])
def test_equals_transformers(kind: str, given: dict[str, Any], backend: str) -> None:
    transformers = reference.need("transformers")
    if not hasattr(transformers, kind + backend):
        pytest.skip(f"this transformers has no {kind}{backend}")
    processor = getattr(transformers, kind + backend)(**given)
    described = processor.to_dict()
    ours = from_transformers({**described, "image_processor_type": kind})
    for photo in reference.photographs():
        if kind == "VideoMAEImageProcessor":
            theirs = np.asarray(processor([photo], return_tensors="np")["pixel_values"])[0]
        else:
            theirs = np.asarray(
                processor(photo, return_tensors="np", input_data_format="channels_last")["pixel_values"]
            )
        if backend == "Pil":
            same(ours(photo[None]), theirs, ours.std)
        else:  # its torchvision scales a little otherwise than Pillow: not one level in four on the mean
            assert ours(photo[None]).shape == theirs.shape
            apart = np.abs(ours(photo[None]) - theirs) * np.array(ours.std, np.float32).reshape(1, 3, 1, 1)
            assert apart.mean() <= 0.25 / 255, (photo.shape, apart.mean() * 255)


def test_a_picture_that_is_already_scaled_is_only_cropped() -> None:
    steps = from_open_clip(OPEN_CLIP[0])
    rng = np.random.default_rng(1)
    width, height = steps.input_size(1920, 1080)
    assert (width, height) == (398, 224)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    assert np.array_equal(steps.picture(picture), picture[:, 87 : 87 + 224])


def test_a_batch_gives_what_single_pictures_give() -> None:
    steps = from_open_clip(OPEN_CLIP[1])
    photos = [np.random.default_rng(n).integers(0, 256, (40 + n, 60, 3), np.uint8) for n in range(3)]
    assert np.array_equal(steps(photos), np.concatenate([steps(p[None]) for p in photos]))
    assert steps(np.empty((0, 4, 4, 3), np.uint8)).shape == (0, 3, 256, 256)


def test_the_input_of_a_thin_picture_is_bounded() -> None:
    steps = from_open_clip(OPEN_CLIP[0])
    assert steps.scaled(100_000, 10) == (2_240_000, 224)
    assert steps.input_size(100_000, 10) == (8 * 224, 224)
    assert steps.picture(np.full((10, 60_000, 3), 7, np.uint8)).shape == (224, 224, 3)


def test_normalising_by_hand() -> None:
    steps = Preprocess((1, 1), mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    values = steps(np.array([[[[255, 0, 51]]]], np.uint8)).ravel()
    assert values == pytest.approx([1.0, -0.25, 0.1], abs=1e-6)


def test_steps_survive_json() -> None:
    import json

    steps = from_timm(TIMM[5])
    assert from_dict(json.loads(json.dumps(steps.as_dict()))) == steps


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (from_open_clip, {}),
        (from_open_clip, {"size": "large"}),
        (from_open_clip, {"size": 0}),
        (from_open_clip, {"size": 224, "resize_mode": "stretch"}),
        (from_open_clip, {"size": 224, "mean": [0.5]}),
        (from_open_clip, {"size": 224, "std": [0, 1, 1]}),
        (from_transformers, {"size": {"shortest_edge": 224}, "do_center_crop": False}),
        (from_transformers, {"size": {"longest_edge": 224}}),
        (from_transformers, {"max_num_patches": 256, "patch_size": 16}),
        (from_transformers, {"size": {"height": 224}}),
        (from_transformers, {"size": {"height": 8, "width": 8}, "resample": 77}),
        (from_timm, {"input_size": [3]}),
        (from_timm, {"pretrained_cfg": None}),
        (from_dict, {"size": [224, 224], "colour": "blue"}),
        (from_dict, {"size": [224, 224], "interpolation": "magic"}),
        (from_dict, {}),
    ],
)
def test_a_description_that_makes_no_sense_is_one_line(read: Any, values: dict[str, Any]) -> None:
    with pytest.raises(EncoderError) as caught:
        read(values)
    assert "\n" not in str(caught.value)


def test_pictures_of_another_kind_are_refused() -> None:
    steps = Preprocess((8, 8))
    for wrong in (np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(EncoderError, match="uint8"):
            steps(wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(EncoderError, match="no size"):
        steps.scaled(0, 5)
