"""The image, the compose files, the unit and the Kubernetes manifests: settings exist, nothing runs as root.

The tools that know these formats check them where they are installed; what no tool here can run, an image from the
public registries, is not tried.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.settings import settings_table

DEPLOY = Path(__file__).parents[2] / "deploy"
VARIABLES = {setting.environment for setting in settings_table()} | {"PENSTOCK_CONFIG"}
COMPOSE = ("compose.yaml", "compose.cluster.yaml")


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def manifests() -> dict[str, dict[str, Any]]:
    """The objects of the folder, by their kind."""
    listed = [one for path in (DEPLOY / "kubernetes").glob("*.yaml") for one in documents(path)]
    return {one["kind"]: one for one in listed}


def test_every_setting_that_is_named_exists() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {
        (path.name, variable)
        for path in files
        for variable in re.findall(r"\bPENSTOCK_[A-Z0-9_]+\b", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert sorted((name, variable) for name, variable in named if variable not in VARIABLES) == []


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_servers_are_confined(name: str) -> None:
    (compose,) = documents(DEPLOY / name)
    services = {key: service for key, service in compose["services"].items() if service["image"] == "penstock"}
    assert len(services) >= 2
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), "without TLS the port is for this machine only"
    for service in compose["services"].values():
        for other, condition in service.get("depends_on", {}).items():
            assert other in compose["services"]
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other]


def test_the_pod_may_run_in_a_restricted_namespace() -> None:
    pod = manifests()["StatefulSet"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod["initContainers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_probes_ask_the_servers_own_paths() -> None:
    from penstock.server.http.app import PLAIN_ROUTES

    (container,) = manifests()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"/livez", "/readyz"}
    assert paths <= set(PLAIN_ROUTES)
    assert "/readyz" in (DEPLOY / "Containerfile").read_text(encoding="utf-8")


def test_kustomize_renders_the_manifests() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    command = [kubectl, "kustomize", str(DEPLOY / "kubernetes")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rendered = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    assert set(rendered) == set(manifests()) - {"Kustomization"}
    (container,) = rendered["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "penstock:0.1.0"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "penstock.service"
    text = (DEPLOY / "systemd" / "penstock.service").read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/penstock/bin/penstock", "/bin/true"))
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=30", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]
