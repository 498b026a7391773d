"""Tokens laid into an agent's folder: the road of stops, and of what lifts them, that needs no link.

Whoever may write there needs a signature all the same. `NAME.token` holds a token's text; it is taken away,
and `NAME.answer` says as JSON what became of it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from ripstop.core.errors import RipstopError
from ripstop.core.files import write_whole
from ripstop.core.wire.token import LONGEST, from_text

from .agent import Agent

FOLDER = "tokens"
_AT_ONCE = 32


def take_tokens(agent: Agent, folder: Path) -> None:
    """Hand the tokens of a folder to an agent; call it again and again."""
    for path in sorted(folder.glob("*.token"))[:_AT_ONCE]:
        answer = json.dumps(_taken(agent, path))
        with suppress(OSError):  # a full disk keeps no answer, but it keeps no agent from stopping
            write_whole(path.with_suffix(".answer"), answer.encode())
        with suppress(OSError):
            path.unlink()


def _taken(agent: Agent, path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            agent.take_token(from_text(file.read(LONGEST).decode("ascii", "replace")))
    except OSError as error:
        return {"refused": (error.strerror or str(error)).lower(), "code": ""}
    except RipstopError as error:
        return {"refused": error.message, "code": error.code}
    latches = agent.node.responder.switch.state.latches
    return {"latches": {latch.id: len(latch.lifts) for latch in latches}, "rung": agent.rung.name}
