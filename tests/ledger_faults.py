"""Damage any file of an agent's ledger folder in any way, as often as you like.

.venv/bin/python tests/ledger_faults.py --rounds 10000 --seed 1

The folder is that of an agent of three lives, with releases, states, experience and personal values, all
synced. Each round damages one file: a bit, some bytes, a part zeroed, repeated, cut out or appended, an end
cut off at any byte or exactly at a record's end, the file emptied, gone, or exchanged for an older one. Then

- reading the folder from outside or opening it tells of it, or all that it holds is read as before;
- nothing is read that was not written, and an agent that opens is one of a new life;
- it goes on: what it records verifies, and its next opening finds nothing.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ripstop.agent import Agent, NodeSettings, Store
from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.recovery import LedgerError
from ripstop.agent.settings import BUNDLE
from ripstop.agent.slots import Slots
from ripstop.agent.streams import read_head, read_stream
from ripstop.core.canonical import canonical_json
from ripstop.core.chance import SplitMix64, stream
from ripstop.core.commitment import Opening, commitment_of
from ripstop.core.messages import Bundle
from ripstop.core.wire.bundle import seal_bundle
from ripstop.core.wire.envelope import Ed25519Signer, Keyring, Role, TrustedKey
from ripstop.policy import load

POLICY = Path(__file__).parents[1] / "policies" / "payload_limit.json"
SETTINGS = NodeSettings("drone-1", personal=("pilot",), salt_key=b"k" * 32)
LIVES = 3


@dataclass(frozen=True)
class Folder:
    """A sound folder: its files, those of the life before, and what is read from it."""

    files: Mapping[str, bytes]
    older: Mapping[str, bytes]
    streams: Mapping[str, tuple[bytes, ...]]
    bundles: tuple[bytes, ...]
    values: Mapping[str, Opening | None]


def opened(folder: Path) -> Agent:
    key = Ed25519Signer(b"\1" * 32, Role.RELEASE)
    ring = Keyring({key.key_id: TrustedKey(key.public, key.role)})
    return Agent("drone-1", POLICY, ledger=Store(folder, ring), settings=SETTINGS)


def work(agent: Agent) -> None:
    for number in range(4):
        agent.observe(battery_percent=80.0 - number, battery_v=12.0 + number / 100)
        agent.request("accept_task", {"payload_kg": 0.5 + number, "pilot": f"bob {number}"})
        agent.flush()


def written(folder: Path) -> Folder:
    key = Ed25519Signer(b"\1" * 32, Role.RELEASE)
    older: dict[str, bytes] = {}
    for life in range(1, LIVES + 1):
        document = load(POLICY).to_json() | {"description": f"release {life}"}
        release = Bundle("fleet", life, "", 0, 0, 0, (canonical_json(document).decode(),))
        with opened(folder) as agent:
            agent.install(seal_bundle(key, release))
            work(agent)
            if life < LIVES:  # the last life's values stand in their stream yet, those before in the table
                agent.disk.settle()
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        older = files if life < LIVES else older
    report = inspect_ledger(folder)
    assert not report.findings, report.findings
    assert report.ledger is not None
    names = {
        commitment_of(sample["value"])
        for _, entry in report.ledger.entries
        for sample in entry.body.get("inputs", ())
    } - {None}
    with opened(folder) as agent:
        values = {name: agent.disk.personal.find(name) for name in sorted(names)}
    for name, raw in files.items():  # as they were before that look
        (folder / name).write_bytes(raw)
    streams = {found.stream: found.records for found in report.streams}
    bundles = tuple(content.data for content in Slots(folder, BUNDLE).contents)
    assert len(values) == 4 * LIVES
    return Folder(files, older, streams, bundles, values)


def _at_record(raw: bytes, rng: SplitMix64) -> bytes:
    head = read_head(raw)
    if head is None:
        return raw[:-1]
    offsets = read_stream(raw, *head).offsets
    return raw[: offsets[int(rng.uniform(0, len(offsets)))]]


def _flip(raw: bytes, at: int, rng: SplitMix64) -> bytes:
    return raw[:at] + bytes((raw[at] ^ 1 << int(rng.uniform(0, 8)),)) + raw[at + 1 :]


FAULTS: dict[str, Callable[[bytes, int, SplitMix64], bytes]] = {
    "flip": _flip,
    "cut": lambda raw, at, _: raw[:at],
    "cut at a record's end": lambda raw, _, rng: _at_record(raw, rng),
    "zero 1": lambda raw, at, _: raw[:at] + b"\0" + raw[at + 1 :],
    "zero 16": lambda raw, at, _: raw[:at] + bytes(len(raw[at : at + 16])) + raw[at + 16 :],
    "zero 512": lambda raw, at, _: raw[:at] + bytes(len(raw[at : at + 512])) + raw[at + 512 :],
    "zero the tail": lambda raw, at, _: raw[:at] + bytes(len(raw) - at),
    "garble 16": lambda raw, at, rng: raw[:at] + rng.octets(len(raw[at : at + 16])) + raw[at + 16 :],
    "repeat 16": lambda raw, at, _: raw[: at + 16] + raw[at:],
    "repeat 512": lambda raw, at, _: raw[: at + 512] + raw[at:],
    "cut out 16": lambda raw, at, _: raw[:at] + raw[at + 16 :],
    "append": lambda raw, at, rng: raw + rng.octets(at % 200 + 1),
    "empty": lambda _raw, _at, _rng: b"",
}


def damaged(sound: Folder, rng: SplitMix64) -> tuple[str, str, bytes | None]:
    """Draw a file, a fault, and what the file holds then; None: it is gone."""
    names, faults = sorted(sound.files), [*FAULTS, "gone", "older"]
    while True:
        name = names[int(rng.uniform(0, len(names)))]
        fault = faults[int(rng.uniform(0, len(faults)))]
        raw = sound.files[name]
        if fault == "gone":
            return name, fault, None
        if fault == "older":
            made = sound.older.get(name, raw)
        else:
            made = FAULTS[fault](raw, int(rng.uniform(0, len(raw))), rng)
        if made != raw:
            return name, fault, made


def trial(folder: Path, sound: Folder) -> str:
    """Look at a damaged folder, open it and go on; say how it was found.

    Raises:
        AssertionError: something was lost or made up without a word, or it does not go on.
    """
    try:
        findings = inspect_ledger(folder).findings
    except LedgerError as error:
        findings = [str(error)]
    try:
        agent = opened(folder)
    except LedgerError as error:
        return f"refused with {error.code}"
    try:
        is_told = any(found.torn or found.damaged or found.missing for found in agent.disk.recoveries)
        assert agent.incarnation > LIVES, f"life {agent.incarnation} again"
        held = {name: agent.disk.tail(name).records for name in sound.streams}
        for name, records in sound.streams.items():
            kept = held[name][: len(records)]
            is_whole = kept == records
            assert is_whole or is_told or findings, f"{name} lost something without a word"
            # Behind what was lost the agent has written anew.
            assert is_whole or name != "ledger" or _is_told_of(agent), "the loss is not on record"
        bundles = tuple(content.data for content in Slots(folder, BUNDLE).contents)
        assert bundles == sound.bundles or is_told or findings, "a bundle is lost without a word"
        assert set(bundles) <= set(sound.bundles) or is_told or findings
        values = {name: _value(agent, name) for name in sound.values}
        assert values == sound.values or is_told or findings, "a value is lost without a word"
        for name, value in values.items():  # its time is not committed to
            assert value is None or value.commitment == name, "a value is read that was not written"
        work(agent)
    finally:
        agent.close()
    after = [text for text in inspect_ledger(folder).findings if "was set aside" not in text]
    # A slot stays as it is until a release takes its turn, a changed value until it is erased.
    assert not [text for text in after if not text.startswith(("bundle.", "personal.db: "))], after
    with opened(folder) as again:
        told = [found for found in again.disk.recoveries if found.torn or found.damaged or found.missing]
        assert not [found for found in told if found.stream != BUNDLE], told
    if findings:
        return "found and told" if is_told else "found"
    return "told" if is_told else "harmless"


def _is_told_of(agent: Agent) -> bool:
    return any(
        entry.kind.value == "notice" and entry.body.get("name") == "ledger.recovered"
        for _, entry in inspect_ledger(agent.disk.folder).ledger.entries
    )


def _value(agent: Agent, name: str) -> Opening | None:
    try:
        return agent.disk.personal.find(name)
    except LedgerError:
        return None


def inject(rounds: int, seed: int, within: Path) -> Counter[tuple[str, str]]:
    """Run so many rounds; give how often a fault of a file ended how."""
    logging.getLogger("ripstop").setLevel(logging.CRITICAL)
    (within / "sound").mkdir()
    sound, folder = written(within / "sound"), within / "damaged"
    ended: Counter[tuple[str, str]] = Counter()
    for number in range(rounds):
        rng = stream(seed, "faults", number)
        name, fault, raw = damaged(sound, rng)
        shutil.copytree(within / "sound", folder)
        (folder / name).unlink() if raw is None else (folder / name).write_bytes(raw)
        try:
            ended[name, trial(folder, sound)] += 1
        except Exception as error:
            raise AssertionError(f"round {number}: `{fault}` of {name}: {error}") from error
        shutil.rmtree(folder)
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as within:
        ended = inject(args.rounds, args.seed, Path(within))
    for (name, how), times in sorted(ended.items()):
        sys.stdout.write(f"{name:12} {how:22} {times:6}\n")
    sys.stdout.write(f"{args.rounds} faults: none changed what is read without a word\n")


if __name__ == "__main__":
    main()
