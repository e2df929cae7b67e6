"""The real command in a process of its own: what it prints where, its exit codes, and how fast it answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from clips import FPS, clip, library, pictures, remux
from holding import held_command, held_environment
from media_samples import render, scene
from PIL import Image

posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX")
COMMAND = Path(sysconfig.get_path("scripts")) / ("footage.exe" if sys.platform == "win32" else "footage")
MOMENT = ["video", "path", "start", "end", "at", "score", "strength", "evidence"]
FILE = ["path", "video", "status", "seconds", "samples", "error"]
HEAVY = {"numpy", "av", "onnx", "onnxruntime", "lance", "lancedb", "pyarrow", "torch", "PIL", "rich", "tokenizers"}


class Result:
    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in self.err or "FOOTAGE_DEBUG" in self.err, self.err

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def clean(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_") and k not in ("NO_COLOR", "COLUMNS")}
    return kept | more


def footage(*arguments: object, cwd: Path | None = None, **env: str) -> Result:
    command = [str(COMMAND), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=clean(**env), capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    return Result(done)


def start(*arguments: object, errors: Path, hold: Path, first: str) -> subprocess.Popen[str]:
    """Start the command, which waits before the file `first` and later ones as long as there is a file `hold`.

    Its messages go to a file: of two pipes, one would have to be read by a thread.
    """
    env = held_environment(hold, first)
    with errors.open("w") as file:
        command = held_command(*arguments)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, encoding="utf-8", env=env)


def is_error(result: Result, status: int, *words: str) -> None:
    """One line that says what is wrong, one that says what to do, and nothing on stdout."""
    assert result.status == status, (result.out, result.err)
    assert result.out == ""
    lines = result.err.splitlines()
    assert lines[0].startswith("error: ") and lines[1:2] == [""] and lines[2].startswith("hint: "), result.err
    assert len(lines) == 3, result.err
    for word in words:
        assert word in result.err


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with films/, a library of them in .footage, and a picture of one of their scenes."""
    root = tmp_path_factory.mktemp("cli")
    for number in range(4):
        clip(root / "films" / f"film {number}.mp4", 10 * number, 10 * number + 1, seconds=2.0)
        os.utime(root / "films" / f"film {number}.mp4", (1.6e9, 1.6e9 + number * 1e8))
    Image.fromarray(scene(20, 160, 120, shift=5)).save(root / "scene.png")
    (root / "note.png").write_text("this is no picture")
    with library(root / ".footage") as lib:
        lib.index(root / "films")
    return root


# ---------------------------------------------------------------------------------------------------------- --help


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['footage', '--help']\nfrom footage.cli import main\n"
        "try:\n main()\nexcept SystemExit as end:\n assert end.code == 0\n"
        "print('\\n'.join(sorted({m.partition('.')[0] for m in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean())
    loaded = set(done.stderr.split())
    assert "footage" in loaded and loaded & HEAVY == set()
    for verb in ("index", "search", "ls", "show", "rm", "models", "doctor"):
        assert re.search(rf"^  {verb}\b", done.stdout, re.MULTILINE), verb


@pytest.mark.parametrize("module", ["footage", "footage.cli"])
def test_the_command_line_is_a_module_too(module: str) -> None:
    command = [sys.executable, "-m", module, "ls", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=clean()).stdout
    assert told.splitlines()[0].endswith(" ls [OPTIONS]")
    refused = subprocess.run([*command[:-2], "nonsense"], capture_output=True, text=True, check=False, env=clean())
    assert refused.returncode == 2 and "nonsense" in refused.stderr


@posix
def test_help_answers_at_once() -> None:
    def cpu_seconds(*command: str) -> float:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=clean())
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        return used.ru_utime + used.ru_stime

    # Beside what the interpreter takes on this machine, just now, with the package that any such command is made with.
    plain = (sys.executable, "-c", "import typer, asyncio, json, http.client; typer.Typer()")
    cpu_seconds(str(COMMAND), "--help")  # warms the disk's cache
    took = [(cpu_seconds(str(COMMAND), "--help"), cpu_seconds(*plain)) for _ in range(5)]
    told, bare = (min(each) for each in zip(*took, strict=True))
    assert told < 3 * bare


def test_every_verb_has_help_and_the_program_a_version() -> None:
    from footage import __version__

    assert footage("--version").out == f"footage {__version__}\n"
    told = footage("search", "-h")
    assert told.status == 0
    for option in ("--image", "--video", "--not", "-k", "--in", "--after", "--before", "--min-duration",
                   "--max-duration", "--per-video", "--library", "--json"):  # fmt: skip
        assert option in told.out
    told = footage("index", "--help")
    for option in ("--library", "--every", "--fast", "--prune", "--model", "--json"):
        assert option in told.out


# ------------------------------------------------------------------------------------------------------------ index


def test_index_prints_one_object_a_file(tmp_path: Path) -> None:
    good = clip(tmp_path / "films" / "good.mp4", 1, 2)
    hurt = tmp_path / "films" / "hurt.mp4"
    render(hurt, pictures((3, 4, 5, 6)), fps=FPS, container={"movflags": "faststart"})
    hurt.write_bytes(hurt.read_bytes()[: hurt.stat().st_size * 6 // 10])
    (tmp_path / "films" / "bad.mp4").write_text("no video")
    (tmp_path / "films" / "note.txt").write_text("a note")
    first = footage("index", "films", "--json", cwd=tmp_path)
    assert first.status == 1
    rows = {Path(r["path"]).name: r for r in first.json}
    assert rows.keys() == {"good.mp4", "hurt.mp4", "bad.mp4"}
    assert list(rows["good.mp4"]) == FILE and list(rows["bad.mp4"]) == FILE
    assert list(rows["hurt.mp4"]) == [*FILE, "warning"] and rows["hurt.mp4"]["warning"]
    assert rows["hurt.mp4"]["status"] == "indexed" and 0 < rows["hurt.mp4"]["samples"] <= 3
    assert rows["good.mp4"] == {
        "path": good.as_posix(), "video": rows["good.mp4"]["video"], "status": "indexed", "seconds": 2.0,
        "samples": 2, "error": None,
    }  # fmt: skip
    bad = rows["bad.mp4"]
    assert (bad["video"], bad["status"], bad["seconds"], bad["samples"]) == (None, "failed", 0, 0)
    assert "bad.mp4" in bad["error"]
    assert "new library: " in first.err and "starter" in first.err
    (tmp_path / "films" / "bad.mp4").unlink()
    again = footage("index", "films", "--json", cwd=tmp_path)
    assert again.status == 0 and {r["status"] for r in again.json} == {"unchanged"} and "new library" not in again.err


def test_index_in_words(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "films", tmp_path / "films")
    (tmp_path / "films" / "new\nline.mp4").write_text("no video")
    told = footage("index", tmp_path / "films", tmp_path / "nowhere", "--library", tmp_path / "lib")
    assert told.status == 1
    lines = told.out.splitlines()
    assert sum(line.startswith("indexed ") for line in lines) == 4
    assert sum(line.startswith("failed ") for line in lines) == 2
    assert "new\\nline.mp4" in told.out and "4 indexed, 2 failed" in told.err
    assert "\x1b" not in told.out + told.err


def test_settings_come_from_the_environment_and_the_file(tmp_path: Path) -> None:
    clip(tmp_path / "a.mp4", 1, 2, 3, 4)
    (tmp_path / "footage.toml").write_text('every = 2\nlibrary = "from file"\n')
    assert footage("index", "a.mp4", cwd=tmp_path, FOOTAGE_LIBRARY="from variable").status == 0
    assert (tmp_path / "from variable" / "library.json").exists() and not (tmp_path / "from file").exists()
    (listed,) = footage("ls", "--json", "--library", "from variable", cwd=tmp_path).json
    assert listed["sampling"].startswith("1:2/")
    (tmp_path / "footage.toml").write_text("evry = 2\n")
    is_error(footage("ls", cwd=tmp_path), 2, "unknown setting in footage.toml: evry")
    (tmp_path / "footage.toml").unlink()
    result = footage("ls", cwd=tmp_path, FOOTAGE_WORKERS="many")
    assert result.status == 2 and "workers" in result.err and "Traceback" not in result.err


# ----------------------------------------------------------------------------------------------------------- search


def test_search_prints_one_object_a_moment(place: Path) -> None:
    told = footage("search", "--image", "scene.png", "--json", cwd=place)
    assert told.status == 0 and told.err == ""
    assert all(list(m) == MOMENT for m in told.json)
    first = told.json[0]
    assert first["path"].endswith("film 2.mp4") and 0 <= first["start"] <= first["at"] < first["end"] <= 2.1
    assert first["strength"] > 0.5 and {e["channel"] for e in first["evidence"]} == {"image", "copy"}
    assert {e["query"] for e in first["evidence"]} == {"scene.png"}


def test_all_parts_of_a_query(place: Path) -> None:
    told = footage(
        "search", "2:red", "car", "--text", "0.5:street", "--image", "0.5:scene.png", "--video", "films/film 1.mp4",
        "--not", "snow", "--json", "-k", "2", cwd=place,
    )  # fmt: skip
    assert told.status == 0 and len(told.json) == 2
    said = {(e["channel"], Path(e["query"]).name) for e in told.json[0]["evidence"]}
    assert said == {("text", "red car"), ("text", "street"), ("image", "scene.png"), ("copy", "scene.png"),
                    ("video", "film 1.mp4"), ("copy", "film 1.mp4"), ("not", "snow")}  # fmt: skip


def test_filters_pages_and_limits(place: Path) -> None:
    ask = ("search", "--image", "scene.png", "--json", "--per-video", "1")

    def names(*more: str) -> list[str]:
        told = footage(*ask, *more, cwd=place)
        assert told.status == 0, told.err
        return [Path(m["path"]).stem[-1] for m in told.json]

    everything = names()
    assert sorted(everything) == list("0123") and everything[0] == "2"
    assert [*names("-k", "2"), *names("-k", "2", "--page", "2")] == everything
    assert names("--in", "film [13].mp4", "--min-duration", "0:03", "--max-duration", "1:00") in (
        ["1", "3"],
        ["3", "1"],
    )
    assert sorted(names("--after", "2022", "--before", "2028", "--min-size", "1", "--max-size", "1G")) == ["1", "2"]
    assert names("--in", "nowhere") == []


def test_what_is_of_the_same_kind(place: Path) -> None:
    told = footage("search", "--image", "scene.png", "--like", "--json", cwd=place)
    assert told.status == 0 and told.err == "" and told.json
    assert {e["channel"] for m in told.json for e in m["evidence"]} == {"image"}
    assert "layout" not in {e["space"] for m in told.json for e in m["evidence"]}


def test_nothing_found_says_so_and_is_no_error(place: Path) -> None:
    told = footage("search", "x", "--in", "nowhere", cwd=place)
    assert (told.status, told.out) == (0, "") and told.err == "nothing found with these filters\n"


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["search"], 2, "the query is empty"),
        (["search", "  "], 2, "the query is empty"),
        (["search", "--not", "x"], 2, "not"),
        (["search", "--image", "note.png"], 1, "not a picture"),
        (["search", "--image", "films/film 1.mp4"], 1, "--video"),
        (["search", "--image", "nowhere.png"], 1, "nowhere.png"),
        (["search", "--video", "note.png"], 1, "note.png"),
        (["search", "x", "--like"], 2, "have a likeness"),
        (["search", "x", "-k", "0"], 2, "k is 0"),
        (["search", "x", "--page", "0"], 2, "page is 0"),
        (["search", "x", "--after", "yesterday"], 2, "not a date: yesterday"),
        (["search", "x", "--min-duration", "long"], 2, "not a duration: long"),
        (["search", "x", "--min-duration", "nan"], 2, "not a duration: nan"),
        (["search", "x", "--max-size", "big"], 2, "not a size: big"),
        (["search", "x", "--max-size", "infG"], 2, "not a size: infG"),
        (["search", "x", "--library", "nowhere"], 2, "no library at"),
        (["search", "x", "--library", "note.png"], 1, "not a directory"),
        (["show", "nowhere.mp4"], 2, "nowhere.mp4"),
        (["rm", "nowhere.mp4"], 2, "nowhere.mp4"),
        (["index", "films", "--model", "nonsense"], 2, "unknown model: nonsense"),
        (["index", "films", "--every", "0"], 2, "every is 0"),
        (["index", "films", "--library", "note.png"], 1, "not a directory"),
        (["index", "films", "--library", "note.png/below"], 1, "note.png"),
    ],
)
def test_requests_that_are_wrong(place: Path, arguments: list[str], status: int, word: str) -> None:
    is_error_or_bare(footage(*arguments, cwd=place), status, word)


def is_error_or_bare(result: Result, status: int, word: str) -> None:
    """As `is_error`; where there is nothing to advise, the hint may be missing."""
    if "hint: " in result.err:
        is_error(result, status, word)
    else:
        assert (result.status, result.out) == (status, ""), result.err
        assert result.err.startswith("error: ") and result.err.count("\n") == 1 and word in result.err, result.err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["search", "--nonsense"], ["search", "x", "-k", "many"], ["index"]]
)
def test_requests_that_are_not_understood(arguments: list[str]) -> None:
    result = footage(*arguments)
    assert result.status == 2 and result.out == "" and "Error" in result.err and "Traceback" not in result.err


def test_libraries_that_are_not_ours_to_read(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / ".footage", tmp_path / "lib")
    file = tmp_path / "lib" / "library.json"
    stamp = json.loads(file.read_text())
    for text, status, word in (
        (json.dumps(stamp | {"format": 99}), 2, "layout 99"),
        (json.dumps(stamp | {"fingerprint": "other"}), 2, "another version of the model"),
        ("{damaged", 1, "library.json"),
    ):
        file.write_text(text)
        is_error(footage("search", "x", "--library", tmp_path / "lib"), status, word)
    is_error(footage("doctor", "--library", tmp_path / "lib"), 1, "library.json")
    debug = subprocess.run(
        [str(COMMAND), "search", "x", "--library", str(tmp_path / "lib")], env=clean(FOOTAGE_DEBUG="1"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback (most recent call last)" in debug.stderr and "StoreError" in debug.stderr
    assert debug.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a place where nothing can be made")
def test_a_place_that_cannot_be_written(place: Path) -> None:
    is_error(footage("index", "films", "--library", "/proc/footage", cwd=place), 1, "cannot write to /proc/footage")


@posix
def test_a_second_writer_is_refused_and_readers_are_not(place: Path, tmp_path: Path) -> None:
    source = clip(tmp_path / "source.mp4", 1)
    for number in range(30):
        remux(source, tmp_path / "films" / f"{number:02}.mp4", str(number))
    shutil.copytree(place / ".footage", tmp_path / "lib")
    hold = tmp_path / "hold"
    first = start(
        "index", tmp_path / "films", "--library", tmp_path / "lib", "--json",
        errors=tmp_path / "errors", hold=hold, first="25.mp4",
    )  # fmt: skip
    assert first.stdout is not None
    first.stdout.readline()  # it is at work, and stays so
    try:
        second = footage("index", tmp_path / "films", "--library", tmp_path / "lib")
        found = footage("search", "--image", place / "scene.png", "--library", tmp_path / "lib", "--json")
    finally:
        hold.unlink()
    is_error(second, 3, "another process is writing")
    assert found.status == 0 and found.json[0]["path"].endswith("film 2.mp4")
    rest = first.stdout.read().splitlines()
    assert first.wait(300) == 0, (tmp_path / "errors").read_text()
    assert len(rest) == 29


# ------------------------------------------------------------------------------------------------------- the others


def test_ls_and_show(place: Path) -> None:
    listed = footage("ls", "--json", cwd=place).json
    assert [Path(v["path"]).name for v in listed] == [f"film {n}.mp4" for n in range(4)]
    assert {"video", "path", "paths", "duration", "width", "height", "codec", "samples"} <= listed[0].keys()
    shown = footage("show", listed[1]["video"][:8], "--json", cwd=place).json
    assert len(shown) == 1 and shown[0]["video"] == listed[1]["video"]
    assert len(shown[0]["sample_times"]) == shown[0]["samples"]
    told = footage("show", "films/film 1.mp4", cwd=place)
    assert listed[1]["video"] in told.out and "160x120" in told.out
    plain = footage("ls", cwd=place)
    assert plain.out.splitlines()[0].split() == ["id", "duration", "size", "codec", "samples", "path"]
    assert "films/film 3.mp4" in plain.out and "4 videos" in plain.err


def test_what_is_wrong_with_a_file_is_said_at_every_verb(tmp_path: Path) -> None:
    film = render(tmp_path / "half.mkv", pictures((1, 2, 3, 4)), fps=FPS)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    lib = tmp_path / "l"
    said = footage("index", film, "--library", lib)
    assert said.status == 0 and re.search(r"warning: ends at \d\.\d s, though it says that it has 4\.0 s", said.out)
    assert "(broken)" in footage("ls", "--library", lib).out
    assert "warning   ends at" in footage("show", film, "--library", lib).out
    [facts] = footage("show", film, "--library", lib, "--json").json
    assert 0 < facts["broken_at"] < 3 and facts["warning"].startswith("ends at")


def test_rm_and_doctor(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / ".footage", tmp_path / "lib")
    lib = ("--library", tmp_path / "lib")
    gone = footage("rm", place / "films" / "film 0.mp4", *lib, "--json").json
    assert [(r["status"], Path(r["path"]).name) for r in gone] == [("removed", "film 0.mp4")]
    whole = footage("doctor", *lib, "--json")
    assert whole.status == 0 and whole.json[0]["whole"] and whole.json[0]["findings"] == []
    assert whole.json[0]["environment"]["model"] == "starter"
    next((tmp_path / "lib" / "frames").glob("*/*.zip")).unlink()
    found = footage("doctor", *lib, "--json")
    assert found.status == 1 and [f["problem"] for f in found.json[0]["findings"]] == ["frames"]
    assert footage("doctor", *lib).status == 1
    mended = footage("doctor", *lib, "--repair")
    assert mended.status == 0 and "mended" in mended.out and "footage index" in mended.err
    assert "the library is whole" in footage("doctor", *lib).err


def test_doctor_without_a_library(tmp_path: Path) -> None:
    told = footage("doctor", cwd=tmp_path)
    assert told.status == 0 and "none at" in told.out and "onnxruntime" in told.out


def test_models() -> None:
    rows = {r["name"]: r for r in footage("models", "--json").json}
    assert rows["starter"]["spaces"] and "factory" not in rows["starter"]
    assert "starter" in footage("models").out


# --------------------------------------------------------------------------------------------------- where it prints


@posix
@pytest.mark.parametrize(
    ("verb", "status"),
    [("ls", 0), ("search --image scene.png --weak --json", 0), ("index films --library other --json", 1)],
)
def test_a_reader_that_goes_away(place: Path, verb: str, status: int) -> None:
    command = [str(COMMAND), *verb.split()]
    errors = place / "errors"
    with errors.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, cwd=place, env=clean())
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(300) == status
    told = errors.read_text()
    assert "Traceback" not in told and "Exception" not in told and "Broken pipe" not in told
    assert ("goes on" in told) is (status == 1)


def test_output_that_the_terminal_cannot_show(tmp_path: Path) -> None:
    clip(tmp_path / "你好.mp4", 1)
    told = footage("index", ".", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert told.status == 0 and "\\u4f60" in told.out


@posix
@pytest.mark.parametrize("columns", [60, 100])
@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_shows_a_table(place: Path, columns: int, colour: bool) -> None:
    env = clean(TERM="xterm-256color", **({} if colour else {"NO_COLOR": "1"}))
    shown = in_terminal([str(COMMAND), "search", "--image", "scene.png", "--weak"], columns, place, env)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    lines = [line.rstrip() for line in plain.splitlines() if line.strip()]
    assert max(map(len, lines)) <= columns, plain
    assert lines[0].split()[:2] == ["strength", "moment"] and set(lines[1].strip()) <= set("─ ")
    assert re.search(r"^ ?1\.00 +0:0\d\.\d-0:02\.0 +0:0[01]\.\d ", lines[2]), plain  # numbers are never folded
    assert re.search(r"films/fil.*m 2\.mp4", plain.replace("film 2", "fil m 2"), re.DOTALL)
    assert not re.search(r"\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38)\b", shown) or colour


def in_terminal(command: list[str], columns: int, cwd: Path, env: dict[str, str]) -> str:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(300) == 0, shown
    return shown.decode()


@posix
def test_progress_on_a_terminal(place: Path, tmp_path: Path) -> None:
    env = clean(TERM="xterm-256color")
    shown = in_terminal(
        [str(COMMAND), "index", str(place / "films"), "--library", str(tmp_path / "lib")], 80, place, env
    )
    assert "limited by" in shown and "4 indexed" in shown
    assert shown.count("indexed   films/film") == 4


@posix
def test_a_clip_that_is_searched_with_says_how_far_it_is(place: Path) -> None:
    """And nothing of it stays on the screen, or is written to where no screen is."""
    command = [str(COMMAND), "search", "--video", "films/film 2.mp4"]
    shown = in_terminal(command, 80, place, clean(TERM="xterm-256color"))
    told, answer = shown.rsplit("\x1b[K", 1)
    assert "films/film 2.mp4: 0:00.0" in told and "films/film 2.mp4: 0:04.0" in told
    assert "strength" in answer and "films/film 2.mp4: " not in answer
    plain = subprocess.run(command, cwd=place, env=clean(), capture_output=True, text=True, check=True)
    assert plain.stderr == ""


# ---------------------------------------------------------------------------------------------------------- stopping


@posix
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_stopping_keeps_what_is_finished_and_says_how_to_go_on(tmp_path: Path, signal_name: str) -> None:
    source = clip(tmp_path / "source.mp4", *range(1, 13))
    for number in range(60):
        remux(source, tmp_path / "films" / f"{number:03}.mp4", str(number))
    films, lib_path, errors = tmp_path / "films", tmp_path / "lib", tmp_path / "errors"
    # The signal lands amid it: some files are at work, and it would wait for the last ones for ever.
    process = start(
        "index", films, "--library", lib_path, "--json", errors=errors, hold=tmp_path / "hold", first="050.mp4"
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    process.send_signal(getattr(signal, signal_name))
    lines += process.stdout.read().splitlines()
    status = process.wait(300)
    err = errors.read_text()
    assert status == 130, err
    assert "Traceback" not in err and "the same command goes on" in err and "Exception" not in err
    told = {json.loads(line)["video"] for line in lines}
    with library(tmp_path / "lib") as lib:
        kept = {v.id for v in lib.videos()}
        assert told <= kept and 1 <= len(kept) <= 50
        assert lib.doctor() == []
        assert lib._opened().sweep() == 0
