"""The alert rules and the dashboard name metrics that exist; promtool checks the rules where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
METRIC = re.compile(r"\b(?:penstock|process)_\w+")
SUFFIX = re.compile(r"_(?:bucket|count|sum)$")


def documented() -> set[str]:
    return set(
        re.findall(r"`((?:penstock|process)_\w+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"))
    )


def unknown(expressions: list[str]) -> set[str]:
    named = {SUFFIX.sub("", name) for text in expressions for name in METRIC.findall(text)}
    assert named
    return named - documented()


def test_alerts_name_metrics_that_exist_and_have_a_page() -> None:
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    assert unknown([rule["expr"] for rule in group["rules"]]) == set()
    page = (ROOT / "docs" / "how-to" / "failures.md").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in group["rules"] if f"`{rule['alert']}`" not in page] == []


def test_the_dashboard_names_metrics_that_exist() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "penstock.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert unknown(expressions) == set()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize("command", [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]])
def test_promtool_accepts_the_rules(command: list[str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: Debian's package prometheus has it")
    done = subprocess.run(
        [promtool, *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
