"""Prometheus's own linter finds nothing to say about the names and the text of the metrics."""

import shutil
import subprocess

import pytest
from prometheus_client import generate_latest

from ripstop.control.metrics import Metrics


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_promtool_accepts_every_name_unit_and_help_text():
    page = generate_latest(Metrics().registry)
    run = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (run.returncode, run.stderr.decode()) == (0, "")
