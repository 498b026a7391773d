"""Crash an agent's ledger at random bytes, and damage it, as often as you like.

.venv/bin/python tests/ledger_soak.py --rounds 10000 --seed 1

Each round writes records, each with a personal value before it, syncs some of them and may bring values
into their table, then keeps what a power cut may keep: all that was synced, any part of the rest, with holes;
the stream of values may be as it was before these left it. Opened again, nothing that was synced may be
missing, nor its value, nothing may be read that was never written, the ledger must go on, and an erased value
must be gone from every file. Each round then changes one bit anywhere: reading the ledger from outside must
find it, and must not read anything else than what was written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.ledger import FileLedger
from ripstop.core.chance import SplitMix64, stream
from ripstop.core.commitment import Opening
from ripstop.core.wire.record import pack

FILES = ("ledger.log", "values.log")


@dataclass
class Written:
    """Records with their values, how many were synced, and how many bytes of a file these take.

    `unsettled` is what the stream of values held before they left it for their table.
    """

    records: list[bytes]
    values: list[Opening]
    synced: int
    safe: dict[str, int]
    unsettled: bytes | None = None


def write(folder: Path, rng: SplitMix64) -> Written:
    records = [rng.octets(int(rng.uniform(0, 80))) for _ in range(int(rng.uniform(1, 14)))]
    synced = int(rng.uniform(0, len(records) + 1))
    settled = int(rng.uniform(0, len(records) + 1)) if rng.uniform(0, 1) < 0.3 else 0
    made = Written([b"first", *records], [], synced + 1, {})
    ledger = FileLedger(folder, "drone-1")
    for number, record in enumerate(made.records):
        made.values.append(Opening("pilot", number, rng.octets(32), rng.octets(12).hex()))
        ledger.append("personal", pack(made.values[-1]))
        ledger.append("ledger", record)
        if number in (0, synced):
            ledger.sync()
            made.safe = {name: (folder / name).stat().st_size for name in FILES}
        if number and number == settled:
            made.unsettled = (folder / "values.log").read_bytes()
            ledger.settle()
            if number >= synced:
                made.safe["values.log"] = (folder / "values.log").stat().st_size
            else:
                made.unsettled = None  # what comes next is synced behind it
    ledger.close()
    return made


def crash(folder: Path, rng: SplitMix64, written: Written) -> None:
    for name in FILES:
        cut(folder / name, rng, written.safe[name])
    if written.unsettled is not None and rng.uniform(0, 1) < 0.5:
        (folder / "values.log").write_bytes(written.unsettled)


def cut(path: Path, rng: SplitMix64, safe: int) -> None:
    raw = bytearray(path.read_bytes())
    del raw[int(rng.uniform(safe, len(raw) + 1)) :]
    for _ in range(int(rng.uniform(0, 4))):
        if len(raw) > safe:
            begin = int(rng.uniform(safe, len(raw)))
            raw[begin : begin + 16] = bytes(len(raw[begin : begin + 16]))
    path.write_bytes(raw)


def check(folder: Path, written: Written) -> None:
    records, synced = written.records, written.synced
    ledger = FileLedger(folder, "drone-1")
    assert not any(found.missing for found in ledger.recoveries), "a crash is told as a loss"
    held = ledger.tail("ledger").records
    assert list(held[:synced]) == records[:synced], "something synced is missing"
    assert list(held) == records[: len(held)], "something is read that was not written"
    found = [ledger.personal.find(value.commitment) for value in written.values]
    assert found[:synced] == written.values[:synced], "a value of something synced is missing"
    assert all(value in (None, wrote) for value, wrote in zip(found, written.values, strict=True))
    ledger.append("ledger", b"after")
    ledger.sync()
    if written.unsettled is not None:
        ledger.personal.erase()
        left = b"".join(path.read_bytes() for path in folder.iterdir())
        assert not any(value.salt in left or value.value.encode() in left for value in written.values)
    ledger.close()


def damage(folder: Path, rng: SplitMix64) -> None:
    path = folder / "ledger.log"
    before = inspect_ledger(folder).ledger
    raw = bytearray(path.read_bytes())
    at = int(rng.uniform(0, len(raw)))
    raw[at] ^= 1 << int(rng.uniform(0, 8))
    path.write_bytes(raw)
    report = inspect_ledger(folder)
    assert before is not None
    assert report.ledger is not None
    assert any(text.startswith("ledger: ") and "no entry" not in text for text in report.findings), (
        f"byte {at}"
    )
    assert report.ledger.records == before.records[: len(report.ledger.records)], f"byte {at}"


def soak(rounds: int, seed: int, within: Path) -> None:
    """Run so many rounds.

    Raises:
        AssertionError: the ledger lost or made up something.
    """
    for number in range(rounds):
        rng = stream(seed, "ledger", number)
        with tempfile.TemporaryDirectory(dir=within) as name:
            folder = Path(name)
            written = write(folder, rng)
            crash(folder, rng, written)
            check(folder, written)
            damage(folder, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as within:
        soak(args.rounds, args.seed, Path(within))
    sys.stdout.write(
        f"{args.rounds} crashes and {args.rounds} damages: nothing synced lost, every change found\n"
    )


if __name__ == "__main__":
    main()
