"""How `ripstop stop` hands tokens over: to a running ground and its fleet, or into an agent's folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.output import printable
from ripstop.core.clock import SystemClock
from ripstop.core.errors import ConfigurationError, RipstopError, WireError
from ripstop.core.messages import LIFT_SIGNATURES, Notice
from ripstop.core.wire.envelope import Keyring, Role
from ripstop.core.wire.keyfile import read_keyring
from ripstop.core.wire.record import unpack
from ripstop.core.wire.token import Token, open_token, read_token, to_text

if TYPE_CHECKING:
    from ripstop.core.node import Event
    from ripstop.links import NatsLink

_HOUR_US = 3_600_000_000
_SOON_S = 0.05
_ANSWERS = {
    "stop.latched": "stopped",
    "stop.lift_signed": "holds on",
    "stop.lifted": "lifted",
    "stop.refused": "refused",
}


@dataclass(slots=True)
class Sent:
    """What became of a token: refused here or there, who has answered what, who has not."""

    said: Token
    refused: str = ""
    signatures: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    is_dry: bool = False

    @property
    def is_in_effect(self) -> bool:
        """Whether nobody refused it, and a lift has the signatures that it takes."""
        is_signed = not self.said.is_lift or self.signatures >= LIFT_SIGNATURES
        return not self.refused and is_signed and not any(map(_is_refusal, self.answers.values()))

    @property
    def is_fine(self) -> bool:
        """Whether it is in effect, or, where it was only looked at, would be taken."""
        return not self.refused if self.is_dry else self.is_in_effect

    def to_json(self) -> dict[str, object]:
        """Give everything as plain JSON values."""
        return {
            "kind": "lift" if self.said.is_lift else "stop",
            "name": self.said.id,
            "scope": self.said.scope,
            "refused": self.refused,
            "signatures": self.signatures,
            "in_effect": self.is_in_effect and not self.is_dry,
            "answers": self.answers,
            "silent": self.silent,
            "away": self.away,
        }

    def print(self) -> None:
        """Say it to people."""
        if self.refused:
            print(f"  refused: {printable(self.refused)}")
        if self.is_dry:
            print(
                "" if self.refused else "  it would be sent: its signature holds",
                end="" if self.refused else "\n",
            )
            return
        for agent, answer in sorted(self.answers.items()):
            print(f"  {printable(agent)} {printable(answer)}")
        if self.silent:
            print(f"  no news of {_listed(self.silent)}: they have it already, or have not heard it")
        if self.away:
            print(f"  away: {_listed(self.away)}; they are told when they come back")
        if self.said.is_lift and not self.refused and self.signatures < LIFT_SIGNATURES:
            print(
                f"  {self.signatures} of {LIFT_SIGNATURES} signatures: the stop holds until a second person "
                "signs as well, with another release key"
            )


def _is_refusal(answer: str) -> bool:
    return answer.startswith("refused")


def _listed(agents: Sequence[str]) -> str:
    shown = ", ".join(map(printable, agents[:8]))
    return shown if len(agents) <= 8 else f"{shown} and {len(agents) - 8} more"


# ---- what is known here ------------------------------------------------------------------------------------


def fleet_of(data: Path) -> str:
    """Give the name of the fleet that a ground's folder is for.

    Raises:
        ConfigurationError: C0306 where it is none.
    """
    try:
        return str(json.loads((data / "audit" / "trust.json").read_text())["fleet"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"`{data}` is not the data folder of a `ripstop up`", code="C0306",
            hint="give the folder that it was started with (`--data`)",
        ) from error  # fmt: skip


def keys_of(data: Path) -> Keyring:
    """Give the public keys of today that a ground's folder holds.

    Raises:
        ConfigurationError: C0231 where one is damaged.
    """
    return read_keyring(data / "keys", (Role.RELEASE, Role.STOP))


def _looked_at(token: bytes, max_age_h: float) -> Sent:
    """Look at a token's age: one of long ago would stop whoever has not heard of it yet."""
    said = read_token(token)
    age_h = (SystemClock().now().wall_us - said.issued_us) / _HOUR_US
    if said.is_lift or age_h <= max_age_h:
        return Sent(said)
    reason = (
        f"signed {age_h:.1f} hours ago, expected at most {max_age_h:g}: sign a new one, or give --max-age"
    )
    return Sent(said, refused=reason)


def check_only(tokens: Sequence[bytes], data: Path | None, max_age_h: float) -> list[Sent]:
    """Say what would be sent, and change nothing."""
    results = []
    for token in tokens:
        sent = _looked_at(token, max_age_h)
        sent.is_dry = True
        if data is not None and not sent.refused:
            try:
                open_token(keys_of(data), fleet_of(data), token)
            except WireError as error:
                sent.refused = f"{error.code}: {error.message}"
        results.append(sent)
    return results


# ---- to the fleet ------------------------------------------------------------------------------------------


def send_to_ground(tokens: Sequence[bytes], data: Path, wait_s: float, max_age_h: float) -> list[Sent]:
    """Hand tokens to the control plane that runs on a folder, and gather the agents' answers.

    Raises:
        ConfigurationError: C0306 no such folder, or nothing runs there; C0501 it does not answer.
    """
    from ripstop.cli.invitation import Invitation
    from ripstop.core.subjects import Subjects
    from ripstop.links import NatsLink
    from ripstop.links.holding import control_login
    from ripstop.links.loop import run as run_loop

    names = Subjects(fleet_of(data))
    link = NatsLink(Invitation.read(data).server, control_login(data))
    return run_loop(_Sending(link, names.operator, names.every("notice"), wait_s).send(tokens, max_age_h))


class _Sending:
    """Sends tokens one after the other and hears who says what about them."""

    def __init__(self, link: NatsLink, to: str, notices: str, wait_s: float) -> None:
        self._link = link
        self._to, self._notices = to, notices
        self._wait_s = wait_s
        self._heard: dict[str, str] = {}
        self._is_news = asyncio.Event()

    async def send(self, tokens: Sequence[bytes], max_age_h: float) -> list[Sent]:
        self._link.start((self._notices,), self._take)
        try:
            await self._link.connected()
            return [await self._send(token, _looked_at(token, max_age_h)) for token in tokens]
        finally:
            await self._link.close()

    def _take(self, event: Event) -> None:
        from ripstop.core.node import Message

        if not isinstance(event, Message):
            return
        with contextlib.suppress(WireError):
            notice = unpack(Notice, event.data)
            if notice.name in _ANSWERS:
                why = f": {notice.fields.get('code')}: {notice.fields.get('reason')}"
                is_refusal = notice.name == "stop.refused"
                self._heard[notice.agent] = _ANSWERS[notice.name] + (why if is_refusal else "")
                self._is_news.set()

    async def _send(self, token: bytes, sent: Sent) -> Sent:
        if sent.refused:
            return sent
        self._heard.clear()
        try:
            answer = json.loads(await self._link.request(self._to, token))
        except (RipstopError, ValueError) as error:
            raise ConfigurationError(
                "the ground does not answer",
                code="C0501",
                hint="is its `ripstop up` of this version, and well?",
            ) from error
        if "refused" in answer:
            sent.refused = f"{answer['code']}: {answer['refused']}"
            return sent
        sent.signatures, sent.away = answer["signatures"], answer["away"]
        await self._gather(frozenset(answer["present"]))
        sent.answers = {agent: said for agent, said in self._heard.items() if agent in answer["present"]}
        sent.silent = [agent for agent in answer["present"] if agent not in sent.answers]
        return sent

    async def _gather(self, expected: frozenset[str]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_s):
                while not expected <= self._heard.keys():
                    self._is_news.clear()
                    await self._is_news.wait()


# ---- to one agent ------------------------------------------------------------------------------------------


def send_to_agent(tokens: Sequence[bytes], folder: Path, wait_s: float, max_age_h: float) -> list[Sent]:
    """Lay tokens into an agent's folder, and read what it answers.

    Raises:
        ConfigurationError: C0306 where it is no agent's folder.
    """
    if not (folder / "ledger").is_dir():
        raise ConfigurationError(
            f"`{folder}` is not the folder of an agent", code="C0306",
            hint="give the one that holds its `ledger`, as `ripstop-agents/drone-42`",
        )  # fmt: skip
    return [asyncio.run(_lay(token, _looked_at(token, max_age_h), folder, wait_s)) for token in tokens]


async def _lay(token: bytes, sent: Sent, folder: Path, wait_s: float) -> Sent:
    from ripstop.agent.tokens import FOLDER
    from ripstop.core.files import PRIVATE, write_whole

    if sent.refused:
        return sent
    agent = folder.name
    path = folder / FOLDER / f"{secrets.token_hex(8)}.token"
    answered = path.with_suffix(".answer")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, to_text(token).encode(), PRIVATE)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"`{path}` cannot be written: {reason}", code="C0245") from error
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not answered.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(_SOON_S)
    if not answered.exists():
        sent.away = [agent]  # the token lies there: it is taken when the agent runs
        return sent
    _read_answer(sent, agent, json.loads(answered.read_text()))
    answered.unlink()
    return sent


def _read_answer(sent: Sent, agent: str, answer: Mapping[str, object]) -> None:
    if "refused" in answer:
        sent.answers[agent] = f"refused: {answer['code']}: {answer['refused']}"
        return
    latches = answer["latches"]
    held = latches.get(sent.said.id) if isinstance(latches, Mapping) else None
    sent.signatures = LIFT_SIGNATURES if held is None else int(held)
    if sent.said.is_lift:
        sent.answers[agent] = "lifted" if held is None else "holds on"
    else:
        sent.answers[agent] = "stopped"
