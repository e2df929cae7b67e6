"""The starter encoder: works offline from ordinary packages, without torch. Basic, and says so.

Pictures: EfficientNet-Lite0 features. Words: ConSE with a BM25 vote, see `index.py`. The two sides load separately and
on first use: a text query never loads onnxruntime, and indexing never loads the tokenizer.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from footage.encoders import STARTER
from footage.encoders.cache import cached
from footage.encoders.starter import index as index_module
from footage.encoders.starter import weights
from footage.encoders.starter.words import WordVectors, latin, normalise
from footage.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from footage.encoders import EncoderRow, Options
    from footage.encoders.starter.index import Index
    from footage.types import Float32, UInt8

_GRAPH_VERSION = 1  # = graph.VERSION, which cannot be imported here without loading onnx
_SIDE = 32  # a cell of the final feature map, in pixels
_CELLS = 49  # of the final map, about: 7 x 7 is the 224 x 224 pixels that the network was trained at
_MIN_CELLS, _MAX_CELLS = 3, 16  # a window is 3 cells wide; 16 bounds very long and thin pictures
_BATCH = 8  # pictures in one pass: larger ones take more memory and are no faster on a CPU


class Starter:
    """EfficientNet-Lite0 for pictures, ConSE for words; see `Encoder` for the protocol.

    `cache_dir` keeps what is built once (the graph, the text index; some 20 MB); by default the user's cache folder.
    """

    def __init__(self, cache_dir: Path | None = None, *, threads: int = 0) -> None:
        self._cache_dir = cache_dir
        self._threads = threads  # of one forward pass; 0 leaves it to onnxruntime

    @property
    def row(self) -> EncoderRow:
        """The description of this encoder."""
        return STARTER

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the weights, the class texts and the versions of the code that turns them into vectors."""
        parts = f"{weights.SHA256} {index_module.digest()} {_GRAPH_VERSION} {index_module.VERSION}"
        return f"starter-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Scale to about 224 x 224 pixels of area: the aspect is kept, the sides are multiples of 32 in 96..512."""
        if width <= 0 or height <= 0:
            raise EncoderError(f"a picture of {width} x {height} pixels has no size")
        across = min(max(round((_CELLS * width / height) ** 0.5), _MIN_CELLS), _MAX_CELLS)
        down = min(max(round(_CELLS / across), _MIN_CELLS), _MAX_CELLS)
        return across * _SIDE, down * _SIDE

    def encode_images(self, images: UInt8) -> dict[str, Float32]:
        """Encode RGB pictures uint8 (n, h, w, 3), sides multiples of 32 and at least 96.

        Raises:
            EncoderUnavailable: a weights package is missing.
            EncoderError: the pictures have another type or shape.
        """
        _check(images)
        image, text = (np.empty((len(images), space.dim), np.float32) for space in self.row.spaces)
        for start in range(0, len(images), _BATCH):
            part = slice(start, start + _BATCH)
            image[part], classes = self.forward(images[part])
            text[part] = self._index.picture(classes)
        return {self.row.spaces[0].name: image, self.row.spaces[1].name: text}

    def encode_texts(self, texts: Sequence[str]) -> dict[str, Float32]:
        """Encode words, English or Chinese or both; a text of which nothing is known is a vector of zeros.

        Raises:
            EncoderUnavailable: the package of the word vectors is missing.
        """
        normal = [normalise(text) for text in texts]
        words = self.word_vectors([latin(text) for text in normal])
        return {self.row.spaces[1].name: self._index.query(words, normal)}

    def forward(self, images: UInt8) -> tuple[Float32, Float32]:
        """Run the network once: features (n, 1280), unit length, and class weights (n, 1000), see `graph.head`."""
        features, classes = cast("list[Float32]", self._session.run(None, {"pictures": images}))
        return features, classes

    def word_vectors(self, texts: Sequence[str]) -> Float32:
        """Average the static vectors of the words of each English text: (n, 256), not normalised."""
        return self._words.embed(texts)

    @cached_property
    def _index(self) -> Index:
        name = f"starter-text-{index_module.VERSION}-{index_module.digest()[:16]}.npz"
        return index_module.Index.parse(cached(self._cache_dir, name, lambda: index_module.build().dump()))

    @cached_property
    def _words(self) -> WordVectors:
        return WordVectors()

    @cached_property
    def _session(self) -> Any:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

        runtime: Any = onnxruntime  # it has no types
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the decoder needs the cores
        name = f"starter-image-{_GRAPH_VERSION}-{weights.SHA256[:16]}.onnx"
        model = cached(self._cache_dir, name, _build_graph)
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def build(_row: EncoderRow, options: Options) -> Starter:
    """Make the encoder, as the registry asks for it."""
    return Starter(options.cache_dir, threads=options.threads)


def _build_graph() -> bytes:
    from footage.encoders.starter import graph  # onnx takes a while to import, and is needed only once

    assert graph.VERSION == _GRAPH_VERSION
    return graph.build(weights.load_weights())


def _check(images: UInt8) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise EncoderError(f"pictures must be uint8 (n, h, w, 3), not {images.dtype} {images.shape}")
    height, width = images.shape[1:3]
    if height % _SIDE or width % _SIDE or min(height, width) < _MIN_CELLS * _SIDE:
        raise EncoderError(
            f"pictures of {width} x {height} pixels: both sides must be multiples of {_SIDE}, at least "
            f"{_MIN_CELLS * _SIDE}",
            hint="scale them to what input_size() says",
        )
