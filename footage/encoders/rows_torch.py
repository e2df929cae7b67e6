"""Rows of models that run on torch, and of the OpenCV classics, one tuple a family.

`ROWS` in rows.py lists them.
Pinned digests are those in the addresses of their makers (OpenAI: whole; torchvision: the beginning). Pinned revisions
are commits that the hub's own pages name, with the files that are wanted in them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from footage.encoders.row import MANY, EncoderRow, Weights
from footage.types import Space, Window

if TYPE_CHECKING:
    from footage.types import Query

TORCH = "pip install 'footage[torch]'"

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_TORCHVISION = "https://download.pytorch.org/models"
SAFETENSORS = ("config.json", "model.safetensors")
OPEN_CLIP_FILES = ("open_clip_config.json", "open_clip_model.safetensors", "tokenizer*.json", "special_tokens_map.json")
HF_FILES = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "pytorch_model.bin",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
)
HF_NEEDS = (
    SAFETENSORS,
    ("config.json", "model.safetensors.index.json"),
    (
        "config.json",
        "pytorch_model.bin",
    ),  # a state dict: all that AltCLIP, Chinese-CLIP and TimeSformer are known to have
)


def _row(
    name: str,
    dim: int,
    answers: tuple[Query, ...],
    licence: str,
    size_mb: float,
    summary: str,
    weights: Weights | None,
    family: str,
    *,
    languages: tuple[str, ...] = (),
    restricted: bool = False,
    window: Window | None = None,
    install: str = TORCH,
) -> EncoderRow:
    source = (weights.repo or ", ".join(weights.urls.values())) if weights else "part of OpenCV"
    return EncoderRow(
        name=name,
        spaces=(Space(name, dim, answers, window),),
        languages=languages,
        licence=licence,
        source=source,
        size_mb=size_mb,
        install=install,
        summary=summary,
        factory=f"footage.encoders.{family}:build",
        restricted=restricted,
        weights=weights,
    )


def _openai(name: str, file: str, sha256: str, dim: int, size_mb: float, summary: str) -> EncoderRow:
    weights = Weights(urls={file: f"{_OPENAI}/{sha256}/{file}"}, sha256={file: sha256})
    return _row(name, dim, ("text", "image"), "MIT", size_mb, summary, weights, "clip", languages=("en",))


CLIP = (
    _openai(
        "clip-vit-b-32",
        "ViT-B-32.pt",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        512,
        354,
        "OpenAI's CLIP, 224 pixels in patches of 32 (16-bit weights)",
    ),
    _openai(
        "clip-vit-b-16",
        "ViT-B-16.pt",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        512,
        351,
        "OpenAI's CLIP, 224 pixels in patches of 16 (16-bit weights)",
    ),
    _openai(
        "clip-vit-l-14",
        "ViT-L-14.pt",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        768,
        933,
        "OpenAI's large CLIP, 224 pixels in patches of 14 (16-bit weights)",
    ),
    _openai(
        "clip-vit-l-14-336",
        "ViT-L-14-336px.pt",
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        768,
        934,
        "OpenAI's large CLIP at 336 pixels (16-bit weights)",
    ),
)


def _torchvision(name: str, file: str, dim: int, size_mb: float, summary: str, family: str) -> EncoderRow:
    begins = file.rpartition("-")[2].removesuffix(".pth")
    weights = Weights(urls={file: f"{_TORCHVISION}/{file}"}, sha256={file: begins})
    return _row(name, dim, ("image",), "BSD-3-Clause", size_mb, summary, weights, family)


VGG = (
    _torchvision(
        "vgg16", "vgg16-397923af.pth", 512, 553, "VGG-16's convolutions, the largest of each map: a classic", "vgg"
    ),
)

IMG2VEC = tuple(
    _torchvision(f"img2vec:{name}", f"{file}.pth", dim, size, f"{name}, the layer before its classes", "img2vec")
    for name, file, dim, size in (
        ("resnet18", "resnet18-f37072fd", 512, 47),
        ("resnet50", "resnet50-11ad3fa6", 2048, 103),
        ("alexnet", "alexnet-owt-7be5be79", 4096, 244),
        ("vgg16", "vgg16-397923af", 4096, 553),
        ("densenet121", "densenet121-a639ec97", 1024, 32),
        ("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc", 1280, 21),
    )
)


_SSCD = "https://dl.fbaipublicfiles.com/sscd-copy-detection/sscd_disc_mixup.torchscript.pt"
_ISC = "https://github.com/lyakaap/ISC21-Descriptor-Track-1st/releases/download/v1.0.1/isc_ft_v107.pth.tar"

DESCRIPTORS = tuple(
    _row(name, dim, ("copy",), licence, size_mb, summary, Weights(urls={url.rpartition("/")[2]: url}), "descriptors")
    for name, dim, licence, size_mb, summary, url in (
        ("sscd", 512, "MIT", 98, "SSCD, Meta's copy descriptor: holds under crops", _SSCD),
        ("isc", 256, "MIT", 214, "copy descriptor that won the Image Similarity Challenge 2021; slow", _ISC),
    )
)


def _timm(
    name: str,
    model: str,
    dim: int,
    size_mb: float,
    summary: str,
    licence: str = "Apache-2.0",
    revision: str | None = None,
) -> EncoderRow:
    weights = Weights(repo=f"timm/{model}", revision=revision, files=SAFETENSORS, needs=(SAFETENSORS,))
    restricted = licence != "Apache-2.0"
    return _row(name, dim, ("image",), licence, size_mb, summary, weights, "timm", restricted=restricted)


TIMM = (
    _timm("vit", "vit_base_patch16_224.augreg2_in21k_ft_in1k", 768, 346, "a vision transformer of ImageNet-21k"),
    _timm(
        "dinov2",
        "vit_base_patch14_dinov2.lvd142m",
        768,
        346,
        "self-supervised: likeness without words; strong",
        revision="1dc7cda4727a9f4baa37f3ef407928dd642d0149",
    ),
    _timm("dinov2-small", "vit_small_patch14_dinov2.lvd142m", 384, 88, "the small DINOv2"),
    _timm(
        "dinov3",
        "vit_base_patch16_dinov3.lvd1689m",
        768,
        343,
        "self-supervised, the successor of DINOv2",
        "DINOv3 License: use with conditions, registration at its source",
    ),
    _timm(
        "convnext",
        "convnext_base.clip_laion2b_augreg_ft_in12k_in1k",
        1024,
        354,
        "a convolutional network with CLIP's pre-training",
    ),
)


def _open_clip(
    name: str,
    repo: str,
    dim: int,
    licence: str,
    size_mb: float,
    summary: str,
    languages: tuple[str, ...] = ("en",),
    *,
    restricted: bool = False,
    tag: str = "",
) -> EncoderRow:
    config, safe = OPEN_CLIP_FILES[:2]
    state = "open_clip_pytorch_model.bin"
    # Some makers published a state dict only; where open_clip knows the tag, the shapes need not lie beside it.
    needs = ((safe,), (state,)) if tag else ((config, safe), (config, state))
    weights = Weights(repo=repo, files=(*OPEN_CLIP_FILES, state), needs=needs)
    row = _row(
        name,
        dim,
        ("text", "image"),
        licence,
        size_mb,
        summary,
        weights,
        "open_clip",
        languages=languages,
        restricted=restricted,
    )
    return replace(row, variant=tag)


_APPLE = "Apple model licence for research"

OPEN_CLIP = (
    _open_clip("siglip2", "timm/ViT-B-16-SigLIP2-256", 768, "Apache-2.0", 1501, "SigLIP 2 on torch", MANY),
    _open_clip("siglip2-large", "timm/ViT-L-16-SigLIP2-256", 1024, "Apache-2.0", 3526, "large SigLIP 2", MANY),
    _open_clip("pe-core", "timm/PE-Core-B-16", 1024, "Apache-2.0", 1790, "Meta's Perception Encoder"),
    _open_clip(
        "mobileclip2",
        "timm/MobileCLIP2-S0-OpenCLIP",
        512,
        _APPLE,
        300,
        "Apple's small and quick CLIP",
        restricted=True,
    ),
    _open_clip(
        "xlm-roberta",
        "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
        512,
        "MIT",
        1465,
        "LAION-5B CLIP with a multilingual text tower",
        MANY,
        tag="xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
    ),
    _open_clip(
        "nllb",
        "visheratin/nllb-clip-base-siglip",
        768,
        "CC-BY-NC-4.0: no commercial use",
        2034,
        "201 languages, strong in small ones",
        MANY,
        restricted=True,
    ),
)


def _hf(
    name: str,
    repo: str,
    dim: int,
    answers: tuple[Query, ...],
    licence: str,
    size_mb: float,
    summary: str,
    languages: tuple[str, ...] = (),
    *,
    restricted: bool = False,
    window: Window | None = None,
    revision: str | None = None,
) -> EncoderRow:
    weights = Weights(repo=repo, revision=revision, files=HF_FILES, needs=HF_NEEDS)
    return _row(
        name,
        dim,
        answers,
        licence,
        size_mb,
        summary,
        weights,
        "window" if window else "transformers",
        languages=languages,
        restricted=restricted,
        window=window,
    )


_NC = "CC-BY-NC-4.0: no commercial use"

TRANSFORMERS = (
    _hf(
        "chinese-clip",
        "OFA-Sys/chinese-clip-vit-base-patch16",
        512,
        ("text", "image"),
        "MIT (of its code; its page on the hub names none)",
        753,
        "CLIP taught in Chinese",
        ("zh",),
        revision="36e679e65c2a2fead755ae21162091293ad37834",
    ),
    _hf(
        "altclip",
        "BAAI/AltCLIP",
        768,
        ("text", "image"),
        "CreativeML OpenRAIL-M: use with conditions",
        3460,
        "OpenAI's large CLIP with a text tower for English and Chinese",
        ("en", "zh"),
        restricted=True,
    ),
    _hf(
        "metaclip2",
        "facebook/metaclip-2-worldwide-huge-quickgelu",
        1024,
        ("text", "image"),
        _NC,
        7470,
        "Meta's worldwide CLIP, huge",
        MANY,
        restricted=True,
    ),
)

WINDOW = (
    _hf(
        "videomae",
        "MCG-NJU/videomae-base",
        768,
        ("window",),
        _NC,
        377,
        "self-supervised on windows of 16 frames",
        restricted=True,
        revision="dc740ceda42fce44faed2ea03c6d447db72f6af9",
        window=Window(16, 2.0, 1.0),
    ),
    _hf(
        "timesformer",
        "facebook/timesformer-base-finetuned-k400",
        768,
        ("window",),
        _NC,
        486,
        "actions of Kinetics-400, windows of 8 frames",
        restricted=True,
        window=Window(8, 4.0, 2.0),
    ),
    _hf(
        "x-clip",
        "microsoft/xclip-base-patch32",
        512,
        ("text", "window"),
        "MIT",
        788,
        "windows of 8 frames and words in one space",
        ("en",),
        window=Window(8, 4.0, 2.0),
    ),
    _hf(
        "vjepa2",
        "facebook/vjepa2-vitl-fpc64-256",
        1024,
        ("window",),
        "MIT",
        1500,
        "Meta's world model: windows of motion",
        window=Window(16, 4.0, 2.0),
    ),
)

_CV = "pip install 'footage[opencv]'"


def _opencv(name: str, dim: int, summary: str, *, window: Window | None = None) -> EncoderRow:
    answers: tuple[Query, ...] = ("image",) if window is None else ("window",)
    family = "opencv" if window is None else "opencv.flow"
    row = _row(name, dim, answers, "Apache-2.0 (OpenCV)", 0, summary, None, family, install=_CV, window=window)
    return replace(row, modules=("cv2",))


OPENCV = (
    _opencv("opencv-colour", 1152, "which colours (HSV) stand where, on a grid of 3 x 3; no weights at all"),
    _opencv("opencv-hog", 1152, "where edges run which way (HOG); finer than the layout, and likeness only"),
    _opencv("opencv-dhash", 128, "difference hash of 128 bits: copies of whole pictures, very small"),
    _opencv("opencv-pdq", 256, "PDQ, the perceptual hash of Facebook: copies of whole pictures"),
)

OPENCV_MOTION = (
    _opencv(
        "opencv-flow",
        153,
        "which way things move, where and when (HOF of optical flow); finds a clip by its motion, no weights",
        window=Window(24, 2.0, 1.0),
    ),
)
