"""Binds the files of a record to one another: signed checkpoints of all logs and of what lies beside them.

A log's chain tells of changes within it, not that the log as a whole is of this run. So the ground signs, at
its start, every few seconds and at its end, how far each log goes, its last link, and the digests of the
files that a verifier needs besides; each checkpoint is a record of the log `checkpoints`, and receipts cite
the last one. A checkpoint covers only what was on stable storage before it was signed: no power cut can make
one say too much.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from ripstop.core.errors import WireError
from ripstop.core.messages import Checkpoint, StreamHead
from ripstop.core.wire.envelope import EnvelopeType, Header, Keyring, Signer, open_envelope, seal
from ripstop.core.wire.record import pack, unpack

from .files import AuditFiles, Heads, LogScan
from .trust import FILE, Trust

STREAM: Final = "checkpoints"
VOCABULARY: Final = "vocabulary.json"
BESIDE: Final = (FILE, VOCABULARY)


def open_checkpoint(keyring: Keyring, fleet: str, record: bytes) -> Checkpoint:
    """Check a record of the log and give what it says.

    Raises:
        WireError: it is not what the ground signs.
    """
    return unpack(Checkpoint, open_envelope(keyring, fleet, EnvelopeType.CHECKPOINT, record).body)


class LastCheckpoint:
    """Reads the log record by record; `found` is what the last one says."""

    def __init__(self, keyring: Keyring, fleet: str) -> None:
        self._open = partial(open_checkpoint, keyring, fleet)
        self._record = b""

    def read(self, record: bytes) -> None:
        """Take the log's next record."""
        self._record = record

    def found(self) -> Checkpoint | None:
        """Give the last checkpoint on file, None where there is none that the ground has signed."""
        try:
            return self._open(self._record) if self._record else None
        except WireError:
            return None


class Notary:
    """Signs checkpoints into a folder's logs; `run` names the record.

    `files` are the digests of what lies beside the logs, as it was written there. `write` may be called from
    any thread.
    """

    def __init__(
        self, logs: AuditFiles, signer: Signer, fleet: str, last: Checkpoint | None = None, run: str = ""
    ) -> None:
        self.run = (last.run if last else run) or secrets.token_hex(16)
        self.files: dict[str, bytes] = {}
        self._logs = logs
        self._signer = signer
        self._header = Header(fleet, STREAM)
        self._covered = _covered(last)
        self._vouched = dict(last.files) if last else {}
        self._lock = threading.Lock()

    def put(self, name: str, raw: bytes) -> None:
        """Note what was written beside the logs."""
        self.files = {**self.files, name: sha256(raw).digest()}

    def shortfalls(self, beside: Mapping[str, bytes]) -> list[str]:
        """Name the files, as they were found at the start, that the last checkpoint shows to be others.

        `audit verify` compares all links; here a log that goes on from where the checkpoint has it passes.
        """
        heads = self._logs.heads()
        logs = [
            f"{stream}.log"
            for stream, (count, head) in self._covered.items()
            if heads.get(stream, (0, b""))[0] < count
            or (heads[stream][0] == count and heads[stream][1] != head)
        ]
        files = [name for name in self._vouched if digest_of(beside.get(name)) != self._vouched[name]]
        return logs + files

    def write(self, t_us: int) -> bytes:
        """Sign what is new, if anything is, and give the last checkpoint's link.

        Raises:
            OSError: the disk does not take it.
        """
        with self._lock:
            heads, files = self._logs.sync(), self.files
            if files == self._vouched and not _is_news(heads, self._covered):
                return heads.get(STREAM, (0, b""))[1]
            streams = tuple(StreamHead(stream, *head) for stream, head in heads.items())
            body = pack(Checkpoint(self.run, t_us, streams, files))
            sealed = seal(self._signer, EnvelopeType.CHECKPOINT, self._header, body)
            self._logs.append(STREAM, sealed)
            link = self._logs.sync()[STREAM][1]
            self._covered, self._vouched = dict(heads), files
            return link


def digest_of(raw: bytes | None) -> bytes:
    """Give a file's digest; that of one that is not there is empty."""
    return b"" if raw is None else sha256(raw).digest()


def found_beside(folder: Path) -> dict[str, bytes]:
    """Read what lies beside the logs; what cannot be read is left out."""
    found = {}
    for name in BESIDE:
        try:
            found[name] = (folder / name).read_bytes()
        except OSError:
            continue
    return found


def _covered(last: Checkpoint | None) -> dict[str, tuple[int, bytes]]:
    return {head.stream: (head.count, head.head) for head in last.streams} if last else {}


def _is_news(heads: Heads, covered: Heads) -> bool:
    """Whether a log has grown beyond its checkpoint; that of checkpoints by more than the last one."""
    return any(
        head != covered.get(stream) and (stream != STREAM or head[0] != covered.get(stream, (0, b""))[0] + 1)
        for stream, head in heads.items()
    )


# ---- verification ----------------------------------------------------------------------------------------


class Findings(Protocol):
    """What takes findings and notes."""

    def find(self, code: str, where: str, text: str) -> None:
        """Take something that does not hold."""

    def note(self, text: str) -> None:
        """Take something that cannot be told."""


@dataclass(slots=True)
class Binding:
    """Holds the files of a record to its checkpoints.

    Args:
        trust: whose signatures count.
        logs: the record's logs, by stream.
        beside: what lies beside them, by file name.
        is_running: whether a control plane is still writing it.
        result: takes what is found.
    """

    trust: Trust
    logs: Mapping[str, LogScan]
    beside: Mapping[str, bytes]
    is_running: bool
    result: Findings
    _told: set[tuple[str, str]] = field(default_factory=set)

    def check(self, cited: Sequence[bytes]) -> None:
        """Check everything; `cited` is which checkpoint each receipt names, in their order."""
        log = self.logs.get(STREAM)
        last: Checkpoint | None = None
        keyring = self.trust.ground_keys()
        for number, record in enumerate(log.records if log else (), 1):
            where = f"{STREAM}.log:{number}"
            try:
                last = open_checkpoint(keyring, self.trust.fleet, record)
            except WireError as error:
                self.result.find("record.refused", where, f"{error.code}: {error.message}")
                continue
            self._meet(last, where)
        if last is None:
            self._without(is_lost=bool(self.trust.run) or any(cited))
            return
        self._citations(cited, last)
        self._rest(last)
        self._files(last)

    def _find(self, code: str, where: str, text: str) -> None:
        """Tell what is wrong with a file once, however many checkpoints show it."""
        if (code, where) not in self._told:
            self._told.add((code, where))
            self.result.find(code, where, text)

    def _open(self, code: str, where: str, text: str) -> None:
        """Tell what is normal only as long as a control plane is writing."""
        if self.is_running:
            self.result.note(f"{where}: {text}; a control plane is at work here")
        else:
            self._find(code, where, text)

    def _without(self, *, is_lost: bool) -> None:
        if is_lost:
            text = "the record had checkpoints: no file of it is bound to another any more"
            self._find("checkpoint.missing", f"{STREAM}.log", text)
        else:
            self.result.note(
                "no checkpoints, as in records from before there were any: nothing shows that "
                f"`{VOCABULARY}`, or a log as a whole, is of this run but a head that was kept elsewhere"
            )

    def _meet(self, checkpoint: Checkpoint, where: str) -> None:
        if checkpoint.run != self.trust.run:
            text = f"a checkpoint of run `{checkpoint.run}`, expected `{self.trust.run}` as in `{FILE}`"
            self._find("checkpoint.foreign", f"{STREAM}.log", text)
        for promised in checkpoint.streams:
            log, name = self.logs.get(promised.stream), f"{promised.stream}.log"
            held = len(log.records) if log else 0
            if log is None or log.end == 0 or held < promised.count:  # each is begun with its first bytes
                text = f"{where} covers {promised.count} records, got {held}"
                self._find("log.cut", name, text)
            elif log.links[promised.count] != promised.head:
                text = f"{where} covers other records: this log, or a part of it, is of another run"
                self._find("log.exchanged", name, text)

    def _citations(self, cited: Sequence[bytes], last: Checkpoint) -> None:
        """Whether every checkpoint that a receipt names is there; of a running record only those covered."""
        covered = _covered(last).get("receipts", (0, b""))[0]
        known = frozenset((*self.logs[STREAM].links[1:], b""))
        for number, link in enumerate(cited[:covered] if self.is_running else cited, 1):
            if link not in known:
                text = f"receipts.log:{number} names a checkpoint that is not on file"
                self._find("checkpoint.cut", f"{STREAM}.log", text)

    def _rest(self, last: Checkpoint) -> None:
        covered = _covered(last)
        for stream, log in self.logs.items():
            held, known = len(log.records), covered.get(stream, (0, b""))[0]
            if stream == STREAM:
                known += 1  # the last one itself
            if held > known or stream not in covered:
                more = held - known
                text = f"{more} record{'' if more == 1 else 's'} after the last checkpoint"
                self._open("log.open", f"{stream}.log", text)

    def _files(self, last: Checkpoint) -> None:
        for name in BESIDE:
            if digest_of(self.beside.get(name)) != last.files.get(name, b""):
                self._open("file.exchanged", name, "not as the last checkpoint has it")
