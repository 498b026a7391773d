"""What a run is measured on, and who has which of its cores."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

from ripstop.lab.report.schema import Machine


def this_machine() -> Machine:
    """Describe the processor, the cores that this process may use, and the Python."""
    return Machine(_cpu(), len(os.sched_getaffinity(0)), platform.python_version())


def leave_a_core() -> None:
    """Keep this process, and what it starts, off the first of its cores: another one works there.

    A message over the loopback wakes its reader on the core of its writer, though others stand idle.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or (first,))


@contextmanager
def deaf() -> Iterator[None]:
    """Within, start processes that Ctrl-C does not reach, since it is for their parent to end them.

    What is blocked is inherited, and here it only waits; what a process does itself comes too late for its
    imports.
    """
    resource_tracker.ensure_running()  # its own start would let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
