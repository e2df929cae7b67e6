"""Where settings come from, which source wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from footage.config import Settings, load
from footage.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    file = folder / "footage.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults(tmp_path: Path) -> None:
    assert load({}, file=tmp_path / "none.toml") == Settings()
    assert Settings().library == ".footage" and Settings().stall == 30.0


def test_order_of_the_sources(tmp_path: Path) -> None:
    file = write(tmp_path, 'library = "from-file"\nevery = 2\nworkers = 3\nfast = true\n[models]\nmine = "x"\n')
    settings = load({"FOOTAGE_EVERY": "4", "FOOTAGE_WORKERS": "5", "OTHER": "1"}, file=file, workers=6, every=None)
    assert settings == Settings(library="from-file", every=4.0, workers=6, fast=True)
    assert isinstance(settings.every, float)


def test_the_sampler_decides_what_is_near_unless_a_source_does(tmp_path: Path) -> None:
    none = tmp_path / "none.toml"
    assert load({}, file=none).near is None
    assert load({"FOOTAGE_NEAR": "0"}, file=none).near == 0.0
    assert load({}, file=write(tmp_path, "near = 3")).near == 3.0
    assert load({"FOOTAGE_NEAR": "4.5"}, file=none, near=None).near == 4.5


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("off", False), ("No", False)]
)
def test_words_for_yes_and_no(tmp_path: Path, text: str, value: bool) -> None:
    file = write(tmp_path, f"fast = {'false' if value else 'true'}")
    assert load({"FOOTAGE_FAST": text}, file=file).fast is value


def test_where_models_run(tmp_path: Path) -> None:
    none = tmp_path / "none.toml"
    assert load({}, file=none).device == "auto"
    assert load({"FOOTAGE_DEVICE": "cuda:1"}, file=write(tmp_path, 'device = "cpu"')).device == "cuda:1"
    assert load({}, file=write(tmp_path, 'device = "cpu"'), device="mps").device == "mps"
    for wrong in ("gpu", "cuda:", "cuda:x", "CPU"):
        with pytest.raises(ConfigError, match=f"unknown device: {wrong}") as caught:
            load({"FOOTAGE_DEVICE": wrong}, file=none)
        assert "auto" in caught.value.hint


def test_the_model_may_stand_in_a_table_of_models(tmp_path: Path) -> None:
    file = write(tmp_path, '[models]\nmodel = "dinov2"\n')
    assert load({}, file=file).model == "dinov2"
    assert load({"FOOTAGE_MODEL": "vit"}, file=file).model == "vit"
    with pytest.raises(ConfigError, match=r"model in .* must be of type str"):
        load({}, file=write(tmp_path, "[models]\nmodel = 5\n"))


def test_an_empty_variable_does_not_count(tmp_path: Path) -> None:
    assert load({"FOOTAGE_LIBRARY": "", "FOOTAGE_FAST": ""}, file=tmp_path / "none").library == ".footage"


def test_other_variables_of_ours_are_no_settings(tmp_path: Path) -> None:
    assert load({"FOOTAGE_DEBUG": "1", "FOOTAGE_TEST_DATA": "x"}, file=tmp_path / "none") == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("evry = 1", "unknown setting"),
        ("every = 'soon'", "every"),
        ("workers = 2.5", "workers"),
        ("workers = true", "workers"),
        ("fast = 1", "fast"),
        ("library = 5", "library"),
        ("library = ['a']", "library"),
        ("every = ", "cannot read"),
        ("every = nan", "every is nan"),
        ("every = 0", "every is 0"),
        ("near = -1", "near is -1"),
        ("near = 'none'", "near in .* must be of type float"),
        ("stall = 0.5", "stall is 0.5"),
        ("workers = 0", "workers is 0"),
        ("batch = 5000", "batch is 5000"),
    ],
)
def test_refused_files(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load({}, file=write(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "value"), [("WORKERS", "two"), ("WORKERS", "2.5"), ("FAST", "maybe"), ("EVERY", "1s"), ("STALL", "-1")]
)
def test_refused_variables(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        load({f"FOOTAGE_{name}": value}, file=tmp_path / "none")


def test_refused_arguments_name_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown setting in the arguments: evry") as caught:
        load({}, file=tmp_path / "none", evry=1)
    assert "every" in caught.value.hint and caught.value.exit_status == 2


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "footage.toml"
    file.write_bytes(b'library = "\xff"')
    with pytest.raises(ConfigError, match="cannot read"):
        load({}, file=file)
