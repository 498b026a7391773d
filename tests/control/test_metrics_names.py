"""Prometheus's own linter finds nothing to say about the names and the text of the metrics."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from ripstop.control.metrics import Metrics

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "control.md"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_promtool_accepts_every_name_unit_and_help_text():
    page = generate_latest(Metrics().registry)
    run = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (run.returncode, run.stderr.decode()) == (0, "")


def test_every_metric_that_the_guide_names_is_there():
    families = {family.name for family in Metrics().registry.collect()}
    named = set(re.findall(r"\bripstop_[a-z_]+", GUIDE.read_text()))
    assert named
    assert {name for name in named if name.removesuffix("_total") not in families} == set()
