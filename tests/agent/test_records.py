from dataclasses import replace

from ripstop.agent import AgentNode, NodeSettings
from ripstop.agent.memory import MemoryLedger
from ripstop.agent.records import Records
from ripstop.core.clock import Instant
from ripstop.core.journal import RecordKind, read_entry, write_entry
from ripstop.core.messages import Receipt
from ripstop.core.node import Append, Drop, Extend, Started, Sync, Timer
from ripstop.core.wire.chain import check_segment, genesis

SECOND = 1_000_000


def records(most=256, tail=None, incarnation=1):
    made = Records("a", lambda: {"release": "r"}, most)
    made.start(incarnation, tail)
    return made


def note(chain, name, out):
    chain.append(RecordKind.NOTICE, 5, write_entry(RecordKind.NOTICE, 5, {"name": name, "fields": {}}), out)


def written(out, disk=None):
    disk = disk or MemoryLedger("a")
    for effect in out:
        if isinstance(effect, Append):
            disk.append(effect.stream, effect.data)
    return disk


def receipt(segment, **more):
    made = Receipt("a", segment.incarnation, segment.first, segment.last, segment.head, b"")
    return replace(made, **more)


def test_a_segment_begins_with_its_marker_and_its_basis():
    out = []
    chain = records()
    note(chain, "one", out)
    kinds = [read_entry(effect.data).kind for effect in out]
    assert kinds == [RecordKind.SEGMENT, RecordKind.BASIS, RecordKind.NOTICE]
    assert chain.sequence == 3


def test_segments_follow_each_other_and_hash_to_their_heads():
    out = []
    chain = records(most=4)
    for i in range(10):
        note(chain, str(i), out)
    chain.seal(out)
    chain.on_synced(chain.sequence)
    previous, number = genesis("a"), 1
    for segment in chain.due(0, 0, 99):
        check_segment(segment, previous)
        assert segment.first == number
        previous, number = segment.head, segment.last + 1
    assert previous == chain.head


def test_a_segment_leaves_only_once_it_is_synced():
    out = []
    chain = records()
    note(chain, "one", out)
    chain.seal(out)
    assert Sync(3) in out
    assert chain.due(0, 0, 9) == []
    chain.on_synced(2)
    assert chain.due(0, 0, 9) == []
    chain.on_synced(3)
    assert len(chain.due(0, 10, 9)) == 1
    assert chain.due(9, 10, 9) == []
    assert len(chain.due(10, 10, 9)) == 1
    chain.forget_sent()
    assert len(chain.due(11, 10, 9)) == 1


def test_a_receipt_lets_go_what_it_covers_and_nothing_else():
    out = []
    chain = records(most=3)
    for name in "abc":
        note(chain, name, out)
    chain.on_synced(chain.sequence)
    first, second, _ = chain.due(0, 0, 9)
    out = []
    assert not chain.on_receipt(receipt(second, head=b"\0" * 32), out)
    assert out == []
    assert chain.on_receipt(receipt(second), out)
    assert out == [Drop("ledger", second.last)]
    assert chain.unreceipted == 1
    assert chain.on_receipt(receipt(first), [])  # it came late, and is right all the same


def test_a_restart_finds_the_same_segments_and_goes_on_with_the_chain():
    out = []
    before = records(most=3)
    for name in "abcd":
        note(before, name, out)
    before.seal(out)
    before.on_synced(before.sequence)
    tail = written(out).tail("ledger")
    after = records(tail=tail, incarnation=2)
    assert after.due(0, 0, 9) == before.due(0, 0, 9)
    assert (after.sequence, after.head) == (before.sequence, before.head)
    out = []
    note(after, "next", out)
    after.seal(out)
    after.on_synced(after.sequence)
    last = after.due(0, 1, 9)[-1]
    assert (last.incarnation, last.index, last.previous) == (2, 1, before.head)


def test_a_restart_after_receipts_begins_behind_what_was_dropped():
    out = []
    before = records(most=3)
    for name in "abc":
        note(before, name, out)
    disk = written(out)
    disk.drop("ledger", 3)
    after = records(tail=disk.tail("ledger"))
    assert [s.first for s in after.due(0, 0, 9)] == [4, 7]


def deferring():
    made = AgentNode(NodeSettings("a"), [{"<": [{"var": "load"}, 1]}])
    made.step(Started(1), Instant(SECOND, 0, "b"))
    made.defer_records()
    return made


def appended(effects):
    kept = [e for e in effects if isinstance(e, Append | Extend)]
    return [data for e in kept for data in ((e.data,) if isinstance(e, Append) else e.records)]


def decided(made, ahead):
    """Decide five times, let so many of them be written ahead, and give what is recorded then."""
    for number in range(5):
        now = Instant(SECOND + number, number, "b")
        assert not appended(made.request("go", {"load": number / 4}, now)[1])
        made.write_ahead(ahead)
    return appended(made.step(Timer("sync"), Instant(2 * SECOND, SECOND, "b")))


def test_what_is_written_ahead_is_recorded_once_and_as_it_would_have_been():
    plain = decided(deferring(), 0)
    assert len(plain) == 5
    assert decided(deferring(), 1) == decided(deferring(), 3) == plain


def test_writing_ahead_tells_whether_more_remains_and_what_else_is_recorded_comes_behind():
    made = deferring()
    for number in range(3):
        made.request("go", {"load": 0}, Instant(SECOND, number, "b"))
    assert made.write_ahead(2)
    assert not made.write_ahead(2)
    told = made.tell("landed", {}, Instant(SECOND, 9, "b"))
    kinds = [read_entry(data).kind.value for data in appended(told)]
    assert kinds == ["decision", "decision", "decision", "notice"]
    assert not made.write_ahead(2)
