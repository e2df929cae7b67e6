"""The registry: every row that is listed can be built, and says what it should."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from footage import encoders
from footage.encoders import ROWS, EncoderRow, lookup
from footage.encoders.row import Family
from footage.encoders.rows import FAMILIES, RECOMMENDED
from footage.errors import UnknownEncoder


@pytest.mark.parametrize("factory", sorted({row.factory for row in ROWS.values()}))
def test_a_listed_row_leads_to_code(factory: str) -> None:
    """In a process of its own: a module must not lean on what another one has imported."""
    module, _, attribute = factory.partition(":")
    assert find_spec(module)
    code = f"import {module} as m; assert callable(m.{attribute})"
    if any(row.weights is not None for row in ROWS.values() if row.factory == factory):
        code += "; assert callable(m.trial)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.prefix)
def test_a_family_leads_to_code(family: Family) -> None:
    module, _, attribute = family.row.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_row_is_sound(row: EncoderRow) -> None:
    assert row.dim > 0
    assert row.answers
    assert bool(row.languages) == ("text" in row.answers)
    assert (row.window is not None) == ("window" in row.answers)
    assert len(row.summary) <= 100
    assert "\n" not in row.summary
    if re.search("NC|research|condition|OpenRAIL", row.licence):
        assert row.restricted
    weights = row.weights
    if weights is not None:
        assert bool(weights.repo) != bool(weights.urls)
        assert row.size_mb > 0
        assert weights.revision is None or re.fullmatch("[0-9a-f]{40}", weights.revision)
        for name, digest in weights.sha256.items():
            assert re.fullmatch("[0-9a-f]{8,64}", digest)
            assert name in weights.urls or weights.repo
        for url in weights.urls.values():
            assert url.startswith("https://")


def test_names_and_spaces_are_unique_whatever_their_case() -> None:
    names = [row.name.lower() for row in ROWS.values()]
    spaces = [space.name.lower() for row in ROWS.values() for space in row.spaces]
    assert len(set(names)) == len(names)
    assert len(set(spaces)) == len(spaces)


def test_a_name_in_another_case() -> None:
    assert lookup(RECOMMENDED.lower()) is lookup(RECOMMENDED) is ROWS[RECOMMENDED]
    assert lookup("STARTER").name == "starter"


def test_a_member_of_a_family() -> None:
    row = lookup("onnx:someone/a-model#int8")
    assert (row.name, row.variant) == ("onnx:someone/a-model#int8", "int8")
    assert row.weights is not None
    assert row.weights.repo == "someone/a-model"
    assert row.dim == 0  # not known before it is here
    assert lookup("onnx:someone/a-model").spaces != row.spaces


@pytest.mark.parametrize("name", ["", "nothing", "nothing:x", "timm", "onnx"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UnknownEncoder, match="unknown model") as caught:
        lookup(name)
    assert "starter" in caught.value.hint
    assert "onnx:" in caught.value.hint


def test_the_layout_is_no_model_of_its_own() -> None:
    for name in ("layout", "Layout"):
        with pytest.raises(UnknownEncoder, match="part of every library"):
            encoders.choose(name)


def test_listing_loads_nothing_heavy() -> None:
    code = (
        "import sys; from footage import encoders; from footage.encoders import rows, rows_torch, weights, hub\n"
        "[encoders.lookup(n) for n in encoders.ROWS]; [weights.is_here(r, None) for r in encoders.ROWS.values()]\n"
        "print([m for m in ('numpy', 'PIL', 'onnxruntime', 'torch', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_family_has_a_prefix_of_its_own() -> None:
    prefixes = [family.prefix for family in FAMILIES]
    assert len(set(prefixes)) == len(prefixes)
    assert all(prefix == prefix.lower() for prefix in prefixes)
    for family in FAMILIES:  # one that is also a model stands for more of the same
        row = ROWS.get(family.prefix)
        assert row is None or row.factory.partition(":")[0] == family.row.partition(":")[0]
