"""What tests are skipped without. Where FOOTAGE_CI is set, none of them may be missing unseen."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
from milvus_server import MilvusProcess, NotHere

CI = bool(os.environ.get("FOOTAGE_CI"))


def missing(what: str) -> NoReturn:
    if CI:
        pytest.fail(f"{what}, and FOOTAGE_CI is set")
    pytest.skip(what)


def milvus_server(folder: Path) -> MilvusProcess:
    if find_spec("milvus") is None:
        missing("the package milvus, which carries a server, is not installed")
    try:
        return MilvusProcess(folder)
    except NotHere as error:
        missing(f"no Milvus server: {error}")
