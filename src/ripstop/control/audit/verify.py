"""Verifies what a run recorded: logs, signatures, chains, receipts, and every decision anew.

Nothing here trusts the control plane that wrote the files: only the public keys in `trust.json`, which an
auditor compares with a copy held elsewhere, and a head that somebody else kept.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ripstop.core.commitment import holds_commitment
from ripstop.core.errors import ConfigurationError, RipstopError, WireError
from ripstop.core.intent import Intent
from ripstop.core.journal import Entry, RecordKind, read_entry, restrictions_digest
from ripstop.core.messages import Bundle, Receipt, Segment
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.bundle import open_bundle
from ripstop.core.wire.chain import check_segment, genesis, link
from ripstop.core.wire.envelope import EnvelopeType, Keyring, open_envelope
from ripstop.core.wire.record import unpack
from ripstop.core.wire.token import open_token
from ripstop.links.holding import is_held
from ripstop.policy.loader import load_vocabulary

from ..stops import STREAM as STOPS
from ..store.releases import bundle_digest
from .checkpoints import STREAM as CHECKPOINTS
from .checkpoints import VOCABULARY, Binding, found_beside
from .files import STREAMS, LogScan, scan
from .redecide import Redecider
from .segments import owner_of
from .trust import FILE, Trust

_SERVER = "nats"
_BEGUN = "every run has this log, if only its first bytes"
_MISSING = {"forks": "it was removed, unless the run is from before forked ledgers were kept: such have none"}
_Take = Callable[[bytes, str], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: what kind, where, and in words."""

    code: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.code}: {self.text}"


@dataclass(slots=True)
class Verification:
    """What was looked at, and what does not hold."""

    folder: Path
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    head: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def find(self, code: str, where: str, text: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(code, where, text))

    def note(self, text: str) -> None:
        """Note what cannot be told."""
        self.notes.append(text)

    def to_json(self) -> dict[str, object]:
        """Give everything as plain JSON values."""
        return {
            "run": str(self.folder),
            "sound": self.is_sound,
            "head": self.head,
            "counts": dict(sorted(self.counts.items())),
            "findings": [{"code": f.code, "where": f.where, "text": f.text} for f in self.findings],
            "notes": self.notes,
        }


def audit_folder(run: Path) -> Path:
    """Find the folder with the logs: the run's own, or `audit` in it.

    Raises:
        ConfigurationError: C0224 where neither holds them.
    """
    for folder in (run, run / "audit"):
        if (folder / FILE).is_file():
            return folder
    raise ConfigurationError(
        f"`{run}` holds no record of a run", code="C0224", hint=f"a run has a file `{FILE}` beside its logs"
    )


def verify_run(run: Path, *, expected_head: str = "") -> Verification:
    """Verify a run whole.

    Args:
        run: the data folder of `ripstop up`, or a run of the lab.
        expected_head: the head as somebody else kept it; what was cut off or exchanged since is a finding.

    Raises:
        ConfigurationError: C0223, C0224: there is nothing to verify.
    """
    folder = audit_folder(run)
    result = Verification(folder)
    is_running = is_held(folder.parent / _SERVER)
    beside, trust = found_beside(folder), Trust.load(folder)
    verifier = _Verifier(trust, _vocabulary(folder, result), result)
    logs = _logs(folder, result)
    verifier.verify(logs)
    Binding(trust, logs, beside, is_running, result).check(verifier.cited)
    if expected_head and expected_head != result.head:
        result.find("head.differs", "run", f"expected head `{expected_head}`, got `{result.head}`")
    return result


def _vocabulary(folder: Path, result: Verification) -> Vocabulary | None:
    path = folder / VOCABULARY
    try:
        return load_vocabulary(path) if path.exists() or path.is_symlink() else None
    except (RipstopError, OSError) as error:
        result.find("vocabulary.unreadable", VOCABULARY, str(error).partition("\n")[0])
        return None


def _logs(folder: Path, result: Verification) -> dict[str, LogScan]:
    logs = {}
    for path in sorted(folder.glob("*.log")):
        try:
            logs[path.stem] = scan(path.stem, path.read_bytes())
        except OSError as error:
            result.find("log.unreadable", path.name, (error.strerror or str(error)).lower())
    for stream in STREAMS:
        if stream in (CHECKPOINTS, STOPS):
            continue  # whether they must be there is told by checkpoints
        path = folder / f"{stream}.log"
        if not path.is_symlink() and not (path.exists() and path.stat().st_size):
            result.find("log.missing", path.name, _MISSING.get(stream, _BEGUN))
    return logs


@dataclass(slots=True)
class _Chain:
    sequence: int
    head: bytes
    incarnation: int = 0
    basis: Mapping[str, object] | None = None


class _Verifier:
    """One pass over the logs of a run."""

    def __init__(self, trust: Trust, vocabulary: Vocabulary | None, result: Verification) -> None:
        self._trust = trust
        self._result = result
        self._redecider = Redecider(vocabulary)
        self._bundles: dict[int, Bundle] = {}
        self._mitigations: set[str] = set()
        self._receipts: dict[str, dict[tuple[int, int], bytes]] = {}
        self._unmet: dict[str, set[tuple[int, int]]] = {}
        self._chains: dict[str, _Chain] = {}
        self._keys: dict[str, Keyring] = {}
        self.cited: list[bytes] = []

    def verify(self, logs: Mapping[str, LogScan]) -> None:
        summary = hashlib.sha256()
        for stream, log in logs.items():
            summary.update(stream.encode() + len(log.records).to_bytes(8, "big") + log.head)
            self._result.counts[f"log.{stream}"] = len(log.records)
            if log.damage is not None:
                code = "log.torn" if log.damage.is_torn else "log.damaged"
                self._result.find(code, f"{stream}.log", str(log.damage))
        self._result.head = summary.hexdigest()
        self._each(logs, "bundles", self._bundle)
        self._each(logs, "intents", self._intent)
        self._each(logs, STOPS, self._stop)
        self._each(logs, "receipts", self._receipt)
        self._each(logs, "segments", self._segment)
        self._each(logs, "forks", self._fork)
        for agent, unmet in sorted(self._unmet.items()):
            for _, last in sorted(unmet):
                text = f"a receipt covers records up to {last}, which are not on file"
                self._result.find("ledger.cut", agent, text)

    def _each(self, logs: Mapping[str, LogScan], stream: str, take: _Take) -> None:
        for number, record in enumerate(logs[stream].records if stream in logs else (), 1):
            where = f"{stream}.log:{number}"
            try:
                take(record, where)
            except WireError as error:
                self._result.find("record.refused", where, f"{error.code}: {error.message}")

    def _opened(self, kind: EnvelopeType, data: bytes) -> bytes:
        return open_envelope(self._trust.ground_keys(), self._trust.fleet, kind, data).body

    def _bundle(self, record: bytes, where: str) -> None:
        bundle = open_bundle(partial(open_envelope, self._trust.ground_keys(), self._trust.fleet), record)
        earlier = self._bundles.setdefault(bundle.counter, bundle)
        if earlier.policies != bundle.policies:
            self._result.find("release.forked", where, f"two contents of release {bundle.counter}")

    def _intent(self, record: bytes, where: str) -> None:
        intent = unpack(Intent, self._opened(EnvelopeType.INTENT, record))
        self._mitigations.update(m.policy for m in intent.mitigations if m.policy)

    def _stop(self, record: bytes, where: str) -> None:
        open_token(self._trust.ground_keys(), self._trust.fleet, record)

    def _receipt(self, record: bytes, where: str) -> None:
        receipt = unpack(Receipt, self._opened(EnvelopeType.RECEIPT, record))
        self.cited.append(receipt.checkpoint)
        if receipt.last:
            key = (receipt.incarnation, receipt.last)
            self._receipts.setdefault(receipt.agent, {})[key] = receipt.head
            self._unmet.setdefault(receipt.agent, set()).add(key)

    def _fork(self, record: bytes, where: str) -> None:
        _, segment = self._signed_segment(record)
        self._result.find("ledger.forked", segment.agent, f"two stories of records up to {segment.last}")

    # ---- an agent's ledger ----------------------------------------------------------------------------

    def _signed_segment(self, record: bytes) -> tuple[str, Segment]:
        agent, sealed = owner_of(record)
        keys = self._keys.setdefault(agent, self._trust.agent_keys(agent))
        envelope = open_envelope(keys, self._trust.fleet, EnvelopeType.SEGMENT, sealed)
        segment = unpack(Segment, envelope.body)
        if segment.agent != agent:
            raise WireError(f"a segment of `{segment.agent}`", code="W0404")
        return agent, segment

    def _segment(self, record: bytes, where: str) -> None:
        agent, segment = self._signed_segment(record)
        chain = self._chains.get(agent)
        if chain is None or (segment.first == 1 and segment.incarnation > chain.incarnation):
            chain = self._chains[agent] = _Chain(0, genesis(agent))
        if segment.first != chain.sequence + 1:
            text = f"records {chain.sequence + 1} to {segment.first - 1} are missing"
            self._result.find("ledger.gap", where, text)
            chain.head, chain.sequence, chain.basis = segment.previous, segment.first - 1, None
        check_segment(segment, chain.head)
        chain.incarnation = segment.incarnation
        self._result.counts["segments"] += 1
        for sequence, content in enumerate(segment.records, segment.first):
            chain.head = link(chain.head, sequence, content)
            chain.sequence = sequence
            self._meet(agent, (segment.incarnation, sequence), chain.head)
            self._record(f"{agent}:{sequence}", content, chain)

    def _meet(self, agent: str, key: tuple[int, int], head: bytes) -> None:
        promised = self._receipts.get(agent, {}).get(key)
        if promised is None:
            return
        self._unmet[agent].discard(key)
        if promised != head:
            self._result.find("ledger.exchanged", f"{agent}:{key[1]}", "a receipt promises other records")

    def _record(self, where: str, content: bytes, chain: _Chain) -> None:
        try:
            entry = read_entry(content)
        except WireError as error:
            self._result.find("record.unreadable", where, error.message)
            return
        self._result.counts[f"record.{entry.kind.value}"] += 1
        if entry.kind is RecordKind.BASIS:
            chain.basis = entry.body
            self._check_basis(where, entry)
        elif entry.kind is RecordKind.DECISION:
            self._decision(where, entry, chain)

    def _check_basis(self, where: str, entry: Entry) -> None:
        for text in _texts(entry.body.get("restrictions")):
            if text not in self._mitigations and not _is_own(text):
                self._result.find("restriction.unknown", where, "no intent on file holds this restriction")

    def _decision(self, where: str, entry: Entry, chain: _Chain) -> None:
        basis = chain.basis
        if basis is None:
            self._result.find("basis.missing", where, "nothing tells what this decision stands on")
            return
        release, restrictions = basis.get("release"), tuple(_texts(basis.get("restrictions")))
        release = release if isinstance(release, Mapping) else {}
        cited = (entry.body.get("release"), entry.body.get("intent"))
        if cited != (release.get("digest"), restrictions_digest(restrictions)):
            self._result.find("basis.differs", where, "the decision cites another release or intent")
            return
        policies = self._policies(release)
        if policies is None:
            text = f"release `{release.get('counter')}` is not on file with this content"
            self._result.find("release.missing", where, text)
            return
        if not policies and self._redecider.vocabulary is None:
            text = "made before any release, in a vocabulary that is not beside the logs"
            self._result.find("vocabulary.missing", where, text)
            return
        if holds_commitment(entry.body):
            self._result.counts["decisions.chain_only"] += 1
            return
        try:
            difference = self._redecider.check(entry.body, self._redecider.bundle(policies, restrictions))
        except (RipstopError, ValueError) as error:
            self._result.find("policy.unreadable", where, str(error))
            return
        if difference:
            self._result.find("decision.differs", where, difference)
        else:
            self._result.counts["decisions.verified"] += 1

    def _policies(self, release: Mapping[str, object]) -> tuple[str, ...] | None:
        counter = release.get("counter")
        bundle = self._bundles.get(counter) if isinstance(counter, int) else None
        policies = bundle.policies if bundle is not None else ()
        return policies if bundle_digest(policies) == release.get("digest") else None


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []


def _is_own(text: str) -> bool:
    """Whether a restriction is one that an agent puts on itself: it denies outright, or only limits."""
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return (
        isinstance(document, dict)
        and str(document.get("id", "")).startswith("agent/")
        and (document.get("rule") is False or ("rule" not in document and "limits" in document))
    )
