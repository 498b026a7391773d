"""What a run was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ripstop.lab.report.schema import Machine


def this_machine() -> Machine:
    """Describe the processor, the cores that this process may use, and the Python."""
    return Machine(_cpu(), len(os.sched_getaffinity(0)), platform.python_version())


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
