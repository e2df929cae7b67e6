"""Where OpenCV is not installed: it is said what to install, and everything else works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clips import clip, library
from media_samples import scene
from PIL import Image

# Every finder of modules, as it is but for one name: Python itself then says what it says of a module that is absent.
WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name == "cv2" else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
sys.argv = ["footage", *sys.argv[1:]]
from footage.cli import main
main()
"""


def footage(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_models_says_what_to_install() -> None:
    done = footage("models")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("opencv-pdq")]
    assert "pip install 'footage[opencv]'" in line
    rows = {r["name"]: r for r in map(json.loads, footage("models", "--json").stdout.splitlines())}
    assert rows["opencv-colour"]["here"] is False
    assert rows["starter"]["here"] is True


@pytest.mark.parametrize("name", ["opencv-colour", "opencv-hog", "opencv-dhash", "opencv-pdq"])
def test_a_library_cannot_be_made_with_it(name: str, tmp_path: Path) -> None:
    done = footage("index", tmp_path, "--model", name, "--library", tmp_path / "lib")
    assert done.returncode == 3
    assert done.stderr.startswith("error: OpenCV cannot be loaded: No module named 'cv2'\n\nhint: run: pip install")
    assert not (tmp_path / "lib" / "library.json").exists()


def test_nothing_is_verified_without_it(tmp_path: Path) -> None:
    clip(tmp_path / "films" / "a.mp4")
    Image.fromarray(scene(1, 160, 120)).save(tmp_path / "query.png")
    with library(tmp_path / "lib") as lib:
        lib.index(tmp_path / "films")
    ask = ("search", "--image", tmp_path / "query.png", "--library", tmp_path / "lib", "--json")
    assert footage(*ask).returncode == 0
    done = footage(*ask, "--verify")
    assert done.returncode == 3
    assert "hint: run: pip install 'footage[opencv]'" in done.stderr
    assert done.stdout == ""
