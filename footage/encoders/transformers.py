"""Text-image models of transformers, `hf:OWNER/NAME` or `hf:FOLDER`: CLIP, SigLIP, Chinese-CLIP, AltCLIP, MetaCLIP 2.

Each tower is the library's own model without the other one: a query in words reads the weights of the text tower only.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage.encoders import preprocess, tokens
from footage.encoders.open_clip import member, read_json
from footage.encoders.preprocess import Preprocess
from footage.encoders.row import EncoderRow, Options, Weights
from footage.encoders.rows_torch import HF_FILES, HF_NEEDS
from footage.encoders.torch_device import library, torch_
from footage.encoders.torch_encoder import TorchEncoder, Words, try_out
from footage.encoders.torch_files import loading
from footage.encoders.weights import Held, require
from footage.errors import EncoderError, UnknownEncoder

if TYPE_CHECKING:
    from collections.abc import Callable


def row_of(name: str, rest: str) -> EncoderRow:
    """The row of `hf:OWNER/NAME` or `hf:FOLDER`.

    Raises:
        UnknownEncoder: neither a folder nor the name of a repository.
    """
    where, weights = place(rest, "hf", HF_FILES, HF_NEEDS)
    short = where.rstrip("/").rpartition("/")[2]
    return member(f"hf:{where}", short, where, weights, "transformers", "a text-image model of transformers")


def place(rest: str, prefix: str, files: tuple[str, ...], needs: tuple[tuple[str, ...], ...]) -> tuple[str, Weights]:
    """A folder of the user, or a repository of the model hub.

    Raises:
        UnknownEncoder: it is neither.
    """
    folder = Path(rest.removeprefix("local-dir:")).expanduser()
    if rest and folder.is_dir():
        folder = folder.absolute()
        return str(folder), Weights(folder=str(folder), files=files, needs=needs)
    repo = rest.removeprefix("hf-hub:")
    if repo.count("/") != 1 or repo.startswith((".", "/", "~")) or repo.endswith("/"):
        raise UnknownEncoder(f"no such folder: {rest or '(none)'}", hint=f"{prefix}:FOLDER or {prefix}:OWNER/NAME")
    return repo, Weights(repo=repo, files=files, needs=needs)


def build(row: EncoderRow, options: Options) -> Transformer:
    """Make the encoder, as the registry asks for it; the weights must be here, but are not loaded yet.

    Raises:
        EncoderUnavailable: the weights are not here.
        EncoderError: a file is not what it should be.
    """
    return Transformer(row, require(row, options.cache_dir), options)


def trial(row: EncoderRow, weights: Held) -> None:
    """Load both towers once and run them.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    try_out(Transformer(row, weights, Options(device="cpu")))


class Transformer(TorchEncoder):
    """A text-image model of transformers."""

    @cached_property
    def _config(self) -> Any:
        return read_config(self.weights.folder)

    @cached_property
    def steps(self) -> Preprocess:
        """As the processor's settings describe them."""
        return read_steps(self.weights.folder)

    def told_dim(self) -> int:
        """The dimension of the space of both towers."""
        config = self._config
        vision = getattr(config, "vision_config", None)
        return int(getattr(config, "projection_dim", 0) or getattr(vision, "hidden_size", 0) or 0)

    def make_image_tower(self) -> Any:
        """The model without what reads words."""
        return load_part(self.weights.folder, self._config, ("text",), _image_features)

    def make_text_tower(self) -> Any:
        """The model without what sees."""
        return load_part(self.weights.folder, self._config, ("vision", "visual"), text_features)

    def make_tokeniser(self) -> Words:
        """The tokeniser in the folder, in its new form or in an older one."""
        return read_tokeniser(self.weights.folder)


def _image_features(model: Any, pixels: Any) -> Any:
    return vector(model.get_image_features(pixel_values=pixels))


def text_features(model: Any, ids: Any, mask: Any = None) -> Any:
    """The vectors of rows of tokens."""
    given = {} if mask is None else {"attention_mask": mask}
    return vector(model.get_text_features(input_ids=ids, **given))


def vector(found: Any) -> Any:
    """The vector in what transformers gives: an object since its version 5, the vector itself before."""
    return getattr(found, "pooler_output", found)


def read_config(folder: Path) -> Any:
    """The configuration of a model.

    Raises:
        EncoderUnavailable: transformers is not installed.
        EncoderError: it describes no model that transformers knows.
    """
    auto = library("transformers").AutoConfig
    with loading(folder / "config.json"):
        return auto.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def read_steps(folder: Path, name: str = "preprocessor_config.json") -> Preprocess:
    """How pictures are prepared, by the settings beside a model.

    Raises:
        EncoderError: there are none, or they make no sense.
    """
    path = folder / name
    values = read_json(path if path.exists() else folder / "processor_config.json")
    values = values if path.exists() else values.get("image_processor") or values.get("video_processor") or {}
    try:
        return preprocess.from_transformers(values)
    except EncoderError as error:
        raise EncoderError(f"{path}: {error.message}", hint=error.hint) from None


def load_part(folder: Path, config: Any, without: tuple[str, ...], forward: Callable[..., Any]) -> Any:
    """The model of a folder without the parts whose names begin so; their weights are not read.

    Raises:
        EncoderError: a file is cut short, or of another model.
    """
    transformers = library("transformers")
    with loading(folder):
        base = transformers.MODEL_MAPPING[type(config)]

        def make(self: Any, config: Any) -> None:
            base.__init__(self, config)  # of no substance yet: transformers builds without taking memory
            for name in [name for name, _ in self.named_children() if name.startswith(without)]:
                delattr(self, name)

        def initialise(self: Any, module: Any) -> None:
            if module is not self:  # it would look for the part that is not there
                base._init_weights(self, module)

        part = type(
            base.__name__,
            (base,),
            {
                "__init__": make,
                "_init_weights": initialise,
                "forward": forward,
                "__module__": base.__module__,
                "_keys_to_ignore_on_load_unexpected": [r".*"],
            },
        )
        network, told = part.from_pretrained(
            str(folder),
            config=config,
            local_files_only=True,
            use_safetensors=any(folder.glob("model*.safetensors")),
            weights_only=True,
            dtype=torch_().float32,
            output_loading_info=True,
        )
        missing = sorted(str(name) for name in told["missing_keys"])
        if missing:
            raise ValueError(f"{len(missing)} weights are missing: {', '.join(missing[:3])}")
    return network


def read_tokeniser(folder: Path) -> Words:
    """The tokeniser of a folder: texts to numbers, with a mask where the model looks at one.

    Raises:
        EncoderError: there is none, or it is damaged.
    """
    path, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    config = read_json(folder / "config.json")
    rules = tokens.from_transformers(config, read_json(settings) if settings.exists() else {})
    if path.exists():
        found = tokens.Tokeniser.read(path, rules)
    else:
        auto = library("transformers").AutoTokenizer
        with loading(folder):
            old = auto.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
            pad = rules.pad if rules.pad else old.pad_token_id or 0
            rules = tokens.TokenRules(rules.length, pad, rules.clean, pad_left=rules.pad_left)
            found = tokens.Tokeniser(old.backend_tokenizer, rules)
    plain = str(config.get("model_type")).startswith("siglip")  # taught with filled rows and no mask
    return Words(found, masked=not plain)
