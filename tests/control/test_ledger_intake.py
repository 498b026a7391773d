"""Ledger segments taken in: once each, without gap or fork, receipted when they are on disk."""

from dataclasses import replace

import pytest

from ripstop.control.audit.intake import ChainHead, LedgerIntake
from ripstop.control.audit.segments import ChainHeads, owner_of
from ripstop.core.errors import WireError
from ripstop.core.messages import Receipt, Segment
from ripstop.core.node import Append, Report, Send, Sync
from ripstop.core.subjects import Subjects
from ripstop.core.wire.chain import genesis, head
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
from ripstop.core.wire.record import pack, unpack

NAMES = Subjects("f")
COMMAND = Ed25519Signer(b"c" * 32, Role.COMMAND)
AGENT = Ed25519Signer(b"a" * 32, Role.AGENT)


def make_intake(**heads):
    intake = LedgerIntake(NAMES, COMMAND, heads)
    intake.trust({"a": AGENT.public})
    return intake


def segment(first, count, previous=None, *, incarnation=1, salt=b"", agent="a"):
    records = tuple(salt + str(n).encode() for n in range(first, first + count))
    before = previous if previous is not None else genesis(agent)
    end = head(before, first, records)
    return Segment(agent, incarnation, first, first, first + count - 1, before, end, records)


def sealed(body, signer=AGENT, fleet="f"):
    return seal(signer, EnvelopeType.SEGMENT, Header(fleet, "agent-a"), pack(body))


def kinds(effects):
    return [e.name if isinstance(e, Report) else type(e).__name__ for e in effects]


def receipt_in(effects):
    (send,) = [e for e in effects if isinstance(e, Send)]
    assert send.subject == NAMES.of("receipt", "a")
    ring = Keyring({COMMAND.key_id: TrustedKey(COMMAND.public, Role.COMMAND)})
    return unpack(Receipt, open_envelope(ring, "f", EnvelopeType.RECEIPT, send.data).body)


def test_a_segment_is_appended_synced_and_only_then_receipted():
    intake = make_intake()
    first = segment(1, 3)
    effects = intake.take("a", sealed(first), 4)
    assert kinds(effects) == ["Append", "Sync"]
    (sync,) = [e for e in effects if isinstance(e, Sync)]
    receipt = receipt_in(intake.synced(sync.sequence, 4))
    assert (receipt.last, receipt.head) == (3, first.head)
    assert intake.synced(sync.sequence, 4) == []


def test_a_repeated_segment_is_receipted_again_but_not_stored_again():
    intake = make_intake()
    first = segment(1, 3)
    intake.take("a", sealed(first), 1)
    effects = intake.take("a", sealed(first), 1)
    assert kinds(effects) == ["Sync"]
    assert kinds(intake.synced(2, 1)).count("Send") == 2
    assert intake.repeated == 1


def test_a_gap_is_asked_for_by_a_receipt_of_what_is_on_file():
    intake = make_intake()
    first = segment(1, 2)
    intake.take("a", sealed(first), 1)
    third = segment(5, 2, previous=b"x" * 32)
    effects = intake.take("a", sealed(third), 1)
    assert "ledger.gapped" in kinds(effects)
    assert receipt_in(effects).last == 2
    second = segment(3, 2, previous=first.head)
    assert kinds(intake.take("a", sealed(second), 1)) == ["Append", "Sync"]


def test_a_gap_that_nobody_can_fill_is_taken_in_the_end_and_called_lost():
    intake = make_intake()
    orphan = segment(100, 2, previous=b"x" * 32)
    told = [kinds(intake.take("a", sealed(orphan), 1)) for _ in range(4)]
    assert all("ledger.gapped" in kind for kind in told[:3])
    assert told[3] == ["ledger.lost", "Append", "Sync"]


def test_what_was_lost_on_the_way_is_waited_for_however_many_successors_came_first():
    intake = make_intake()
    chain = [segment(1, 2)]
    for number in range(1, 9):
        chain.append(segment(1 + 2 * number, 2, previous=chain[-1].head))
    intake.take("a", sealed(chain[0]), 1)
    for later in chain[2:]:  # sent together, before anybody could ask
        assert "ledger.gapped" in kinds(intake.take("a", sealed(later), 1))
    for again in chain[1:]:  # the agent begins anew with the oldest that it holds
        assert kinds(intake.take("a", sealed(again), 1)) == ["Append", "Sync"]
    assert intake.heads["a"].last == 18


@pytest.mark.parametrize(
    "other",
    [
        lambda first: segment(1, 3, salt=b"other"),
        lambda first: segment(2, 4, previous=first.previous),
        lambda first: segment(4, 1, previous=b"y" * 32),
    ],
)
def test_two_stories_are_a_fork_and_both_are_kept(other):
    intake = make_intake()
    first = segment(1, 3)
    intake.take("a", sealed(first), 1)
    effects = intake.take("a", sealed(other(first)), 1)
    assert kinds(effects) == ["Append", "ledger.forked"]
    assert effects[0].stream == "forks"
    assert intake.heads["a"].head == first.head


def test_a_new_ledger_of_a_later_start_begins_a_new_chain_and_is_told():
    intake = make_intake()
    intake.take("a", sealed(segment(1, 3)), 1)
    assert kinds(intake.take("a", sealed(segment(1, 2, incarnation=2)), 1)) == [
        "ledger.restarted",
        "Append",
        "Sync",
    ]
    assert kinds(intake.take("a", sealed(segment(1, 2, incarnation=1, salt=b"z")), 1))[-1] == "ledger.forked"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (sealed(segment(1, 1), signer=Ed25519Signer(b"s" * 32, Role.AGENT)), "W0202"),
        (sealed(segment(1, 1), signer=Ed25519Signer(b"a" * 32, Role.COMMAND)), "W0204"),
        (sealed(segment(1, 1), fleet="other"), "W0205"),
        (sealed(segment(1, 1, agent="b")), "W0404"),
        (sealed(replace(segment(1, 1), records=())), "W0404"),
        (sealed(replace(segment(1, 1), records=(b"changed",))), "W0402"),
        (sealed(segment(1, 1))[:-1] + b"\x00", "W0203"),
        (b"", "W0201"),
    ],
)
def test_a_segment_that_is_not_the_agents_own_whole_is_refused(data, code):
    intake = make_intake()
    (report,) = intake.take("a", data, 1)
    assert (report.name, report.fields["code"]) == ("segment.refused", code)
    assert intake.heads == {}


def test_nobody_is_trusted_who_is_not_enrolled():
    (report,) = make_intake().take("stranger", sealed(segment(1, 1)), 1)
    assert report.fields["code"] == "W0207"


def test_a_restart_goes_on_from_what_the_files_hold():
    intake = make_intake()
    first = segment(1, 3)
    effects = intake.take("a", sealed(first), 1)
    records = [e.data for e in effects if isinstance(e, Append)]
    assert owner_of(records[0])[0] == "a"
    chains = ChainHeads()
    for record in records:
        chains.read(record)
    again = make_intake(**chains.heads)
    assert again.heads == {"a": ChainHead(1, 3, first.head, 1)}
    assert kinds(again.take("a", sealed(segment(4, 1, previous=first.head)), 1)) == ["Append", "Sync"]


def test_a_log_of_something_else_is_no_log_of_segments():
    with pytest.raises(WireError):
        ChainHeads().read(b"\x82\x61a\x41\x00")
