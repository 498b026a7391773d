"""Crash an agent's ledger at random bytes, and damage it, as often as you like.

.venv/bin/python tests/ledger_soak.py --rounds 10000 --seed 1

Each round writes records, syncs some of them, then keeps what a power cut may keep: all that was synced, any
part of the rest, with holes. Opened again, nothing that was synced may be missing, nothing may be read that
was never written, and the ledger must go on. Each round then changes one bit anywhere: reading the ledger
from outside must find it, and must not read anything else than what was written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.ledger import FileLedger
from ripstop.core.chance import SplitMix64, stream


def write(folder: Path, rng: SplitMix64) -> tuple[list[bytes], int, int]:
    """Write records; give them, how many were synced, and how many bytes these take."""
    records = [rng.octets(int(rng.uniform(0, 80))) for _ in range(int(rng.uniform(1, 14)))]
    synced = int(rng.uniform(0, len(records) + 1))
    ledger = FileLedger(folder, "drone-1")
    ledger.append("ledger", b"first")
    ledger.sync()
    path = folder / "ledger.log"
    safe = path.stat().st_size
    for number, record in enumerate(records, 1):
        ledger.append("ledger", record)
        if number == synced:
            ledger.sync()
            safe = path.stat().st_size
    ledger.close()
    return [b"first", *records], synced + 1, safe


def crash(folder: Path, rng: SplitMix64, safe: int) -> None:
    path = folder / "ledger.log"
    raw = bytearray(path.read_bytes())
    del raw[int(rng.uniform(safe, len(raw) + 1)) :]
    for _ in range(int(rng.uniform(0, 4))):
        if len(raw) > safe:
            begin = int(rng.uniform(safe, len(raw)))
            raw[begin : begin + 16] = bytes(len(raw[begin : begin + 16]))
    path.write_bytes(raw)


def check(folder: Path, records: list[bytes], synced: int) -> None:
    ledger = FileLedger(folder, "drone-1")
    assert not any(found.missing for found in ledger.recoveries), "a crash is told as a loss"
    held = ledger.tail("ledger").records
    assert list(held[:synced]) == records[:synced], "something synced is missing"
    assert list(held) == records[: len(held)], "something is read that was not written"
    ledger.append("ledger", b"after")
    ledger.sync()
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
            records, synced, safe = write(folder, rng)
            crash(folder, rng, safe)
            check(folder, records, synced)
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
