"""The files of deploy/: of the right form, of one mind with the program, without secrets. No container is started."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

from footage.cli.program import app
from footage.config import Settings

yaml = pytest.importorskip("yaml")
DEPLOY = Path(__file__).parents[1] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "footage.yaml").read_text("utf-8")))
FILES = sorted(f for f in DEPLOY.rglob("*") if f.is_file())


def options(verb: str) -> set[str]:
    """The options of a verb as the program has them."""
    command: Any = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def known(words: list[str]) -> None:
    """Every option of a command line exists."""
    verb, given = words[0], {w.partition("=")[0] for w in words if w.startswith("--")}
    assert given <= options(verb), f"footage {verb} has no {given - options(verb)}"


def variables(names: list[str]) -> None:
    """Every variable of Footage is a setting."""
    settings = {f"FOOTAGE_{f.name.upper()}" for f in fields(Settings)} | {"FOOTAGE_TOKEN", "FOOTAGE_DEBUG"}
    assert {n for n in names if n.startswith("FOOTAGE_")} <= settings


def pods() -> list[dict[str, Any]]:
    found = [o["spec"]["template"]["spec"] for o in OBJECTS if o["kind"] == "Deployment"]
    return found + [o["spec"]["jobTemplate"]["spec"]["template"]["spec"] for o in OBJECTS if o["kind"] == "CronJob"]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_a_file_names_no_registry_and_no_secret(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for image in re.findall(r"^\s*(?:image:|FROM)\s+(\S+)", text, re.MULTILINE):
        assert "." not in image.partition("/")[0] or "/" not in image, f"{image} names a host"
        assert not image.endswith(":latest")
        assert ":" in image or image == "footage" == COMPOSE["services"]["footage"]["image"], f"which {image}?"
    text = re.sub(r"secretKeyRef: \{.*?\}|topologyKey:.*", "", text)  # names of secrets are none
    for name, value in re.findall(r"(?i)(\w*(?:password|secret|token|key)\w*)[ \t]*[:=][ \t]*(\S+)", text):
        assert value.startswith(("$", '"$', "{", "...", "=")) or value.strip("},") in ("token", "footage", "false"), (
            name,
            value,
        )


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "kubernetes/footage.yaml"])
def test_a_file_says_that_it_was_not_run(name: str) -> None:
    assert "Not run here" in (DEPLOY / name).read_text(encoding="utf-8")


def test_the_image() -> None:
    words = re.findall(r"^(?:ENTRYPOINT|CMD) \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    entry, command = (re.findall(r'"([^"]*)"', w) for w in words)
    assert entry == ["footage"]
    known(command)
    variables(re.findall(r"\b(FOOTAGE_\w+)=", DOCKERFILE))
    assert re.search(r"^USER (?!0|root)", DOCKERFILE, re.MULTILINE) and "HEALTHCHECK" in DOCKERFILE
    extras = re.search(r"ARG EXTRAS=(\S+)", DOCKERFILE)
    assert extras is not None and not {"torch", "all", "onnx-export"} & set(extras[1].split(","))
    import tomllib

    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def test_the_image_gets_what_it_copies() -> None:
    allowed = set(
        re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    )
    copied = " ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)).split()
    assert set(copied) == allowed and all((DEPLOY.parent / name).exists() for name in copied)


def test_compose() -> None:
    services = COMPOSE["services"]
    assert {"footage", "milvus", "etcd", "minio"} <= set(services)
    known(services["footage"]["command"])
    for name, service in services.items():
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:"), f"{name} is open to others"
        for other in service.get("depends_on", {}):
            assert other in services
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
        variables(list(service.get("environment", {})))
    needed = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    assert needed == set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert services["footage"]["read_only"] and "tmpfs" not in services["footage"], (
        "scratch is gigabytes: not in memory"
    )
    assert (DEPLOY / services["footage"]["build"]["context"]).resolve() == DEPLOY.parent.resolve()


def test_kubernetes() -> None:
    by_kind = {o["kind"]: o for o in OBJECTS}
    assert {"Deployment", "PersistentVolumeClaim", "PodDisruptionBudget", "Service", "ConfigMap"} <= set(by_kind)
    deployment = by_kind["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["replicas"] > by_kind["PodDisruptionBudget"]["spec"]["minAvailable"]
    assert labels == deployment["selector"]["matchLabels"] == by_kind["Service"]["spec"]["selector"]
    assert labels == by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    variables(list(by_kind["ConfigMap"]["data"]))
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] and f"USER {pod['securityContext']['runAsUser']}" in DOCKERFILE
        volumes = {v["name"] for v in pod["volumes"]}
        for container in pod["containers"]:
            known(container["args"])
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert {m["name"] for m in container["volumeMounts"]} <= volumes
            variables([e["name"] for e in container["env"]])
            assert all("value" not in e for e in container["env"]), "secrets come from the secret"
    (server,) = deployment["template"]["spec"]["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(server)
    assert "--shared" in server["args"], "several servers must agree"


def test_the_probes_ask_what_is_answered_to_everyone() -> None:
    from footage.api.security import OPEN

    text = (DEPLOY / "kubernetes" / "footage.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"path: (/\w+z)", text)) | {"/readyz"} <= OPEN


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_commands_in_comments_exist(file: Path) -> None:
    for line in re.findall(r"exec footage footage (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE):
        known(shlex.split(line))
