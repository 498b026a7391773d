"""Draw the README's picture from a run's report: `make picture RUN=runs/<id>`."""

from __future__ import annotations

import sys
from pathlib import Path

from ripstop.lab.report.picture import render
from ripstop.lab.report.schema import Report

PICTURE = Path(__file__).with_name("demo.png")

if __name__ == "__main__":
    PICTURE.write_bytes(render(Report.read((Path(sys.argv[1]) / "report.json").read_text())))
