"""The picture of docs/ARCHITECTURE.md, enforced: data flows one way, and each dependency has one door."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "footage"

# A part may import from those before it only.
ORDER = (
    "errors types config stamp places media sampling windows frames sounds catalog encoders annotators stores pipeline "
    "ingest search copies alignment evaluate export doctor migrate playback models home library cluster api web mcp "
    "cli __main__"
).split()

# What only some files may import. Pillow has four: decoding pictures of any kind, our own key frames, scaling as the
# makers of a network did, and drawing over the copies of a benchmark.
DOORS = {
    "av": ("media/",),
    "PIL": ("media/", "frames/", "encoders/preprocess.py", "evaluate/drawing.py"),
    "lance": ("stores/lance",),
    "pyarrow": ("stores/lance",),
    "lancedb": ("stores/lance",),
    "pymilvus": ("stores/milvus",),
    "milvus_lite": ("stores/milvus",),
    "onnx": ("encoders/",),
    "onnxruntime": ("encoders/",),
    "tokenizers": ("encoders/",),
    "safetensors": ("encoders/",),
    "wordllama": ("encoders/",),
    "ray": ("cluster/crew.py",),
    "cv2": ("encoders/opencv/door.py",),
    "torch": ("encoders/torch_device.py",),
    # What stands on torch is asked for by `torch_device.library`, after the cure of torchvision.
    "torchvision": (),
    "timm": (),
    "open_clip": (),
    "transformers": (),
    "typer": ("cli/",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "filelock": ("home.py", "encoders/weights.py"),
    "fastapi": ("api", "web", "mcp"),
    "starlette": ("api", "web", "mcp"),
    "uvicorn": ("api",),
    "gradio": ("web",),
    "fsspec": ("places/",),
    "aiohttp": ("places/",),
    "s3fs": ("places/",),
    # Services; the core tells by results and exceptions. Milvus: to keep its clients quiet.
    "logging": ("api", "web", "mcp", "cluster", "stores/milvus/link.py"),
}
# Where the environment is no setting of ours: the system's cache folder, the model hub's, and what Lance and Ray take
# from nowhere else.
ENVIRONMENT = {
    "cluster/crew.py": "os.environ",
    "encoders/cache.py": "os.environ",
    "encoders/hub.py": "os.environ",
    "stores/lance_table.py": "os.environ",
}
LIGHT = ("errors", "types", "config", "cli")
"""Imported by `footage --help`: at the top of these files stand no heavy packages."""

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def part_of(file: Path) -> str:
    """The first level below the package: `stores` for stores/lance.py."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Dotted names of everything that is imported, wherever it stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def wrong_imports(tree: ast.AST, part: str) -> list[str]:
    """Imports of parts that come later, or that the order does not know."""
    wrong: list[str] = []
    for name, line in imports(tree):
        root, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if root != "footage" or target in ("__version__", part):
            continue
        if target not in ORDER or ORDER.index(target) > ORDER.index(part):
            wrong.append(f"line {line}: {part} imports {target}")
    return wrong


def wrong_doors(tree: ast.AST, file: str) -> list[str]:
    out: list[str] = []
    for name, line in imports(tree):
        doors = DOORS.get(name.partition(".")[0])
        if doors is not None and not file.startswith(doors):
            out.append(f"line {line}: {name}")
    return out


def face_only(tree: ast.AST) -> list[str]:
    """Printing, exiting and reading the environment, which the core never does."""
    out: list[str] = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("print", "exit", "input")
        ):
            out.append(f"line {node.lineno}: {node.func.id}()")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            dotted = f"{node.value.id}.{node.attr}"
            if dotted in ("sys.exit", "os._exit", "os.environ", "os.getenv", "sys.stdout", "sys.stderr", "sys.argv"):
                out.append(f"line {node.lineno}: {dotted}")
    return out


def test_every_file_has_its_place_in_the_order() -> None:
    assert FILES, "the package is not where it was"
    assert {part_of(f) for f in FILES} - {"__init__"} <= set(ORDER)


@pytest.mark.parametrize("file", [f for f in FILES if part_of(f) != "__init__"], ids=name_of)
def test_a_file_imports_only_from_those_before_it(file: Path) -> None:
    assert wrong_imports(parsed(file), part_of(file)) == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_each_dependency_has_one_door(file: Path) -> None:
    assert wrong_doors(parsed(file), name_of(file)) == []


@pytest.mark.parametrize("file", [f for f in FILES if part_of(f) != "cli"], ids=name_of)
def test_only_the_command_line_prints_exits_and_reads_the_environment(file: Path) -> None:
    allowed = ENVIRONMENT.get(name_of(file), "nothing")
    assert [found for found in face_only(parsed(file)) if not found.endswith(allowed)] == []


@pytest.mark.parametrize("file", [f for f in FILES if part_of(f) in LIGHT], ids=name_of)
def test_light_files_import_nothing_heavy_at_the_top(file: Path) -> None:
    """At the top: not in a function, and not for the type checker only."""
    top = [n for n in parsed(file).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    allowed = sys.stdlib_module_names | {"footage", "typer", "click"}
    names = [name for name, _ in imports(ast.Module(top, []))]
    assert [n for n in names if n.partition(".")[0] not in allowed] == []
    ours = {n.split(".")[1] for n in names if n.startswith("footage.")}
    assert ours <= {*LIGHT, "__version__"}


def test_no_mutable_state_at_the_top_of_a_module() -> None:
    """A list, dict or set that is filled later hides a dependency; constants are frozen or written in capitals."""
    wrong: list[str] = []
    for file in FILES:
        for node in parsed(file).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            value = getattr(node, "value", None)
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(value, (ast.List, ast.Dict, ast.Set)):
                    bare = target.id.strip("_")
                    if target.id != "__all__" and bare != bare.upper():
                        wrong.append(f"{name_of(file)}: {target.id}")
    assert wrong == []


def test_the_rules_bite() -> None:
    tree = ast.parse("from footage.library import Library\nimport av, os\nprint(os.environ)\n")
    assert wrong_imports(tree, "media") == ["line 1: media imports library"]
    assert wrong_imports(tree, "cli") == []
    assert wrong_imports(ast.parse("import footage.nowhere"), "cli") == ["line 1: cli imports nowhere"]
    assert wrong_doors(tree, "search/query.py") == ["line 2: av"]
    assert wrong_doors(tree, "media/reader.py") == []
    assert face_only(tree) == ["line 3: print()", "line 3: os.environ"]
