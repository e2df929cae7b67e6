"""The description is complete: schemathesis finds no 5xx and no answer that is not described."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from clips import library as open_library
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from serving import Served, indexed, serving

from footage.api import Limits, ServeOptions, create_app

CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
EXAMPLES = 25  # of each operation


@cache
def description() -> dict[str, Any]:
    app = create_app(open_library(Path(tempfile.gettempdir()) / "none"), ServeOptions())
    app.state.service.close()
    return app.openapi()


OPERATIONS = [f"{method.upper()} {path}" for path, methods in description()["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("described")
    (place / "empty").mkdir()
    options = ServeOptions(allow_dirs=(place / "empty",), limits=Limits(jobs_waiting=3))
    with serving(indexed(place), options) as found:
        yield found


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_described(served: Served, name: str) -> None:
    """With values made up from the description, and with ids and tokens of things that are there."""
    schema = schemathesis.openapi.from_dict(known(served))
    schema.config.update(base_url=served.url)
    method, path = name.split(" ", 1)
    operation = schema[path][method]
    answered: set[int] = set()

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    def run(case: schemathesis.Case) -> None:
        response = case.call(timeout=60)
        answered.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    run()
    assert answered


def known(served: Served) -> dict[str, Any]:
    """The description with ids of what is there in the place of patterns: else all would be answered with 404."""
    import copy

    said = copy.deepcopy(description())
    videos = [v.id for v in served.library.videos()]
    jobs = [job["id"] for job in served.client.get("/api/v1/jobs").json()["jobs"]]
    ids = {"video": [*videos, videos[0][:5], "ffffffff"], "job": [*jobs, "none"], "file": ["none"]}
    for methods in said["paths"].values():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] in ids and method != "delete":
                    parameter["schema"] = {"type": "string", "enum": ids[parameter["name"]]}
    schemas = said["components"]["schemas"]
    for name in ("MomentRef", "ExportMoment", "RangeRef", "MatchRef"):
        moment = schemas[name]["properties"]["video"]
        moment.clear()
        moment |= {"type": "string", "enum": ids["video"]}
    for name, values in {"query_start": [0, 1], "query_end": [1, 2], "start": [0, 100], "end": [2, 5.9]}.items():
        schemas["MatchRef"]["properties"][name] |= {"enum": values}
    # Any other number would nearly always lie behind the end.
    schemas["ExportMoment"]["properties"]["start"] |= {"enum": [0, 0.5, 5.9, 100]}
    schemas["ExportMoment"]["properties"]["end"] |= {"enum": [0, 0.7, 6, 6.0001]}
    return said


def test_every_route_describes_itself() -> None:
    assert len(OPERATIONS) > 25
    for path, methods in description()["paths"].items():
        for method, said in methods.items():
            assert said["description"], (method, path)
            assert {"401", "403"} <= set(said["responses"]), (method, path)
            for status, answer in said["responses"].items():
                if status[0] in "45" and (path, status) not in (("/readyz", "503"),) and status != "416":
                    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
