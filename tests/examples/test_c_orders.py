"""What the C device obeys, held to the Python agent's authority, leases and stop switch, order by order."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge_programs import generator
from ripstop.agent.authority import Authority, RefusedError
from ripstop.agent.standing import Held, stand
from ripstop.agent.stop import StopSwitch
from ripstop.core.canonical import Json, canonical_json
from ripstop.core.chance import stream
from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.intent import Intent, Mitigation, MitigationKind, OnSilence, Position, Release, Topology
from ripstop.core.intent import TopologyKind as Kind
from ripstop.core.messages import StopLift, StopOrder, Tick
from ripstop.core.wire.envelope import (
    Ed25519Signer,
    EnvelopeType,
    Header,
    Keyring,
    Role,
    TrustedKey,
    open_envelope,
    seal,
)
from ripstop.core.wire.record import pack

C = Path(__file__).resolve().parents[2] / "examples" / "c"
CC = shutil.which("gcc") or shutil.which("clang")
pytestmark = pytest.mark.skipif(
    CC is None or not Path("/usr/include/sodium.h").exists(), reason="needs a C compiler and libsodium-dev"
)
FLEET, AGENT = "city", "c1"
COMMAND, RELEASE, SECOND, STOP = (
    Ed25519Signer(bytes([number]) * 32, role)
    for number, role in enumerate((Role.COMMAND, Role.RELEASE, Role.RELEASE, Role.STOP), 1)
)
STRANGER, OWN = Ed25519Signer(b"\x09" * 32, Role.COMMAND), Ed25519Signer(b"\x0a" * 32, Role.AGENT)
TRUSTED = (COMMAND, RELEASE, SECOND, STOP)
RING = Keyring({key.key_id: TrustedKey(key.public, key.role) for key in TRUSTED})
ACTIONS = ("take_off", "accept_task", "land")
PATIENCE_US = 10_000_000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert CC is not None
    made = tmp_path_factory.mktemp("obey") / "obey"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [C / name for name in ("obey.c", "orders.c", "cose.c")]
    subprocess.run([CC, *flags, *sources, "-o", made, "-lsodium", "-lm"], check=True, timeout=120)
    return made


class Device:
    """The C program, line by line."""

    def __init__(self, program: Path, folder: Path, boot: str = "one", began_us: int = 0) -> None:
        keys = folder / "keys"
        keys.write_text("".join(f"{key.role.value} {key.public.hex()}\n" for key in TRUSTED))
        self._process = subprocess.Popen(
            [program, FLEET, AGENT, keys, folder / "state"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "BOOT_ID": boot, "BEGAN_US": str(began_us)},
        )  # fmt: skip

    def say(self, word: str, t_us: int, argument: str = "") -> list[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(word, t_us, argument, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().split()

    def end(self) -> None:
        self._process.communicate(timeout=20)
        assert self._process.returncode == 0


class Reference:
    """The same rules as the Python agent has them; a mitigation denies what its policy guards."""

    def __init__(self, boot: str = "one") -> None:
        opener = partial(open_envelope, RING, FLEET)
        self.boot = boot
        self.authority = Authority(AGENT, opener, chance=stream(1, "nonce"))
        self.switch = StopSwitch(FLEET, self.authority.scopes, opener)

    def again(self, now_us: int, boot: str) -> Reference:
        made = Reference(boot)
        made.switch.state = self.switch.state
        made.authority.reseed(stream(now_us, "nonce"))
        for held in self.authority.held.values():
            kept = held if boot == self.boot else Held(held.intent, held.envelope, now_us, is_proven=False)
            made.authority.accept(kept)
        return made

    def take(self, word: str, data: bytes, now_us: int) -> list[str]:
        try:
            if word == "tick":
                self.authority.tick(data)
            elif word == "stop":
                self._stop(data)
            else:
                held = self.authority.intent(data, Instant(0, now_us, self.boot))
                return self.accept(held) if held else NOTHING
        except WireError as error:
            return refused(error, self.authority.scopes)
        return NOTHING

    def _stop(self, data: bytes) -> None:
        try:
            self.switch.take(data)
        except WireError as error:
            if error.code != "W0206":
                raise
            self.switch.lift(data)

    def accept(self, held: Held) -> list[str]:
        before = self.authority.held.get(held.intent.scope)
        self.authority.accept(held)
        is_news = before is None or content(before) != content(held) or not before.is_proven
        return answer("-", "applied" if is_news else "-", held.intent.scope, held.intent.position)

    def ripe(self, now_us: int) -> list[list[str]]:
        fresh, stale = self.authority.ripe(Instant(0, now_us, self.boot), PATIENCE_US / 1e6)
        return [self.accept(held) for held in fresh] + [refused(e, self.authority.scopes) for e in stale]

    def denial(self, action: str, now_us: int) -> str:
        if self.switch.is_stopped:
            return "stop"
        standing = stand(self.authority.held.values(), AGENT, now_us)
        if standing.tightened:
            return "silence"
        guards = [json.loads(document).get("guards") for document in standing.documents]
        return "mitigation" if any(named is None or action in named for named in guards) else "-"


NOTHING = ["-", "-", "-", "0", "0"]


def content(held: Held) -> object:
    return held.intent.mitigations, held.intent.topologies, held.intent.release


def answer(code: str, status: str, scope: str, position: Position) -> list[str]:
    return [code, status, scope, str(position.epoch), str(position.generation)]


def refused(error: WireError, scopes: tuple[str, ...]) -> list[str]:
    position = error.position if isinstance(error, RefusedError) else None
    scope = error.scope if isinstance(error, RefusedError) and error.scope in scopes else ""
    if position is None or not scope:
        return [error.code, "-", "-"]
    status = {"W0501": "-", "W0503": "superseded"}.get(error.code, "refused")
    return answer(error.code, status, scope, position)


class Ground:
    """Draws what a ground says, and what a liar would."""

    def __init__(self, rng: random.Random, reference: Reference) -> None:
        self.rng = rng
        self.reference = reference
        self.epoch, self.generation, self.number = 1, 0, 0
        self.nonce = b""
        self.sent: list[tuple[str, bytes]] = []
        self.names: list[str] = []

    def signer(self, usual: Ed25519Signer) -> Ed25519Signer:
        return self.rng.choice((STRANGER, OWN, RELEASE, STOP)) if self.rng.random() < 0.06 else usual

    def tick(self) -> tuple[str, bytes]:
        self.number += 1
        nonces = {"a": b"\x01" * 8, "zz": b"\x02" * 8}
        if self.rng.random() < 0.9 and self.nonce:
            nonces[AGENT] = self.nonce if self.rng.random() < 0.95 else b"\x07" * 8
        at = Position(self.epoch, self.generation)
        header = Header(self.fleet(), "fleet", at.epoch, at.generation, self.number)
        body = pack(Tick(self.number, at, 5, dict(sorted(nonces.items()))))
        return "tick", seal(self.signer(COMMAND), EnvelopeType.TICK, header, body)

    def fleet(self) -> str:
        return "harbour" if self.rng.random() < 0.03 else FLEET

    def mitigation(self, number: int) -> Mitigation:
        rng = self.rng
        guards: dict[str, Json] = rng.choice(
            [{}, {"guards": ["take_off"]}, {"guards": ["accept_task", "take_off"]}, {"guards": []},
             {"guards": ["x", "land"]}]
        )  # fmt: skip
        rule = rng.choice([False, {"guards": ["accept_task"]}, {"<": [{"var": "guards"}, 1]}])
        document: dict[str, Json] = {"ripstop": 1, "id": f'hub/"guards":[{number}', **guards, "rule": rule}
        policy = canonical_json(document).decode()
        return Mitigation(
            f"m{number}", "i1", rng.choice(list(MitigationKind)),
            tuple(rng.sample(["a", AGENT, "b"], rng.randint(1, 3))), rng.choice([policy, policy, ""]),
            rng.choice([1.0, 5.0, 7.3, 60.0, 1e9]), rng.choice(list(OnSilence)),
            rng.choice([0.0, 0.0, 3.5, 20.0]),
        )  # fmt: skip

    def intent(self) -> tuple[str, bytes]:
        rng = self.rng
        self.generation += rng.random() < 0.8
        self.epoch += rng.random() < 0.03
        scope = rng.choice(["fleet", "fleet", f"agent-{AGENT}", f"agent-{AGENT}", "agent-b"])
        generation = max(0, self.generation - (rng.random() < 0.1))
        position = Position(self.epoch, generation)
        tick = max(0, self.number + rng.choice([0, 0, 0, 1, -1, -5]))
        mitigations = tuple(self.mitigation(n) for n in range(rng.choice([0, 1, 1, 2, 5])))
        topologies = (Topology("r", Kind.STAR, ("a", AGENT), "a", "b", 5.0),) if rng.random() < 0.2 else ()
        made = Intent(scope, position, tick, Release(1, "d", "c"), mitigations, topologies)
        stated = tick + (rng.random() < 0.03)
        header = Header(self.fleet(), scope, position.epoch, position.generation, stated)
        return "intent", seal(self.signer(COMMAND), EnvelopeType.INTENT, header, pack(made))

    def stop(self) -> tuple[str, bytes]:
        rng = self.rng
        if self.names and rng.random() < 0.7:
            name, key = rng.choice(self.names), rng.choice([RELEASE, SECOND])
            header, body = Header(FLEET, "fleet"), pack(StopLift(name, "safe again"))
            return "stop", seal(self.signer(key), EnvelopeType.LIFT, header, body)
        scope = rng.choice(["fleet", f"agent-{AGENT}", "agent-b"])
        name = rng.choice([f"s{len(self.names)}", "s0", "local-c1-1", ""])
        self.names.append(name)
        header = Header(FLEET, scope if rng.random() < 0.95 else "fleet")
        body = pack(StopOrder(name, scope, "smoke", 1_000 + len(self.names)))
        return "stop", seal(self.signer(STOP), EnvelopeType.STOP, header, body)

    def next(self) -> tuple[str, bytes]:
        rng = self.rng
        if self.sent and rng.random() < 0.12:
            word, data = rng.choice(self.sent)
            if rng.random() < 0.4:
                at = rng.randrange(len(data))
                data = data[:at] + bytes([data[at] ^ rng.randint(1, 255)]) + data[at + 1 :]
            elif rng.random() < 0.3:
                data = data[: rng.randrange(len(data))]
            return word, data
        made = rng.choices([self.tick, self.intent, self.stop], [5, 5, 1])[0]()
        self.sent.append(made)
        return made


def same(found: list[str], wanted: list[str]) -> bool:
    """Whether a refusal is one; which of two flaws is named first may differ, and so may malformed bytes."""
    if wanted[0] in ("W0101", "W0102", "W0201"):
        return found[0] in ("W0101", "W0102", "W0201", "W0202", "W0203", "W0505")
    return found[:3] == wanted[:3] if wanted == NOTHING else found[: len(wanted)] == wanted


@pytest.mark.parametrize("seed", range(12))
def test_drawn_orders_are_obeyed_as_the_python_agent_obeys_them(
    program: Path, tmp_path: Path, seed: int
) -> None:
    rng, now_us, boot = generator(seed), 1_000_000, "one"
    reference = Reference()
    device = Device(program, tmp_path)
    ground = Ground(rng, reference)
    for _ in range(400):
        now_us += rng.choice([0, 1, 100_000, 900_000, 4_000_000])
        happens = rng.random()
        if happens < 0.02:
            device.end()
            boot = rng.choice([boot, "two", "three"])
            device, reference = Device(program, tmp_path, boot, now_us), reference.again(now_us, boot)
        elif happens < 0.06:
            device.say("disconnected", now_us)
            reference.authority.disconnected()
        elif happens < 0.12:
            device.say("connected", now_us)
            reference.authority.connected(Instant(0, now_us, boot))
        elif happens < 0.3:
            ground.nonce = reference.authority.nonce(Instant(0, now_us, boot))
            device.say("beat", now_us, ground.nonce.hex())
        else:
            word, data = ground.next()
            wanted = reference.take(word, data, now_us)
            found = device.say(word, now_us, data.hex())
            assert same(found, wanted), (word, found, wanted)
            ripe = sorted(reference.ripe(now_us))
            assert sorted(ripening(device, now_us)) == ripe
        for action in ACTIONS:
            assert device.say("ask", now_us, action) == [reference.denial(action, now_us)]
            assert device.say("failsafe", now_us, action) == ["-"]
        obeyed = reference.authority.obeyed
        assert device.say("obeyed", now_us)[3:] == [str(obeyed.epoch), str(obeyed.generation)]
    device.end()


def ripening(device: Device, now_us: int) -> Iterator[list[str]]:
    while (found := device.say("ripe", now_us, str(PATIENCE_US))) != NOTHING:
        yield found
