"""What ends a command that goes on until it is told to stop."""

from __future__ import annotations

import asyncio
import signal


def told_to_stop() -> asyncio.Event:
    """Give an event of the running loop that Ctrl-C, SIGTERM and the end of the terminal set.

    The end of the terminal is left alone where it is ignored already, as `nohup` has it.
    """
    told = asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told
