"""A real browser opens the page from disk: it runs its scripts without a word, and fetches nothing."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ripstop.lab.report.page import render
from ripstop.lab.report.schema import Report

# The browser itself calls home, which the resolver rule keeps from going anywhere.
BROWSERS_OWN = (".google.com", ".gvt1.com", "update.googleapis.com", "optimizationguide-pa.googleapis.com")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_opens_in_chromium_without_a_script_s_complaint(report: Report, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    page = tmp_path / "report.html"
    page.write_text(render(report))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        f"--log-net-log={tmp_path / 'network.json'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=2000",
        "--dump-dom",
        page.as_uri(),
    ]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=90, env={**os.environ, "LANG": "C.UTF-8"}
    )
    assert [line for line in run.stderr.splitlines() if ":CONSOLE" in line] == []
    assert report.id in run.stdout
    assert run.stdout.count("<svg") == page.read_text().count("<svg") > 0
    asked = re.findall(r'"url":"(https?:[^"]*)"', (tmp_path / "network.json").read_text())
    assert [url for url in asked if not (urlsplit(url).hostname or "").endswith(BROWSERS_OWN)] == []
