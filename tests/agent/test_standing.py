from ripstop.agent.standing import Held, Status, stand
from ripstop.core.intent import (
    Intent,
    Mitigation,
    MitigationKind,
    OnSilence,
    Position,
    Release,
    Topology,
    TopologyKind,
)

SECOND = 1_000_000


def mitigation(on_silence=OnSilence.REVERT, kind=MitigationKind.SHED, **more):
    fields = {
        "id": "m", "incident": "i", "kind": kind, "targets": ("a", "b"), "policy": "false",
        "lease_s": 10.0, "on_silence": on_silence,
    }  # fmt: skip
    return Mitigation(**(fields | more))


def held(*mitigations, topologies=(), since_s=100, is_proven=True, scope="fleet"):
    intent = Intent(scope, Position(1, 1), 1, Release(), tuple(mitigations), tuple(topologies))
    return Held(intent, b"", since_s * SECOND, is_proven)


def at(seconds, *entries, agent="a"):
    return stand(entries, agent, round(seconds * SECOND))


def test_a_lease_runs_from_when_the_cited_beat_was_sent():
    entry = held(mitigation())
    assert at(109.9, entry).statuses == {"m": Status.LIVE}
    assert at(109.9, entry).documents == ("false",)
    assert at(109.9, entry).next_us == 110 * SECOND
    assert at(110, entry).documents == ()
    assert at(110, entry).next_us is None


def test_a_mitigation_for_others_does_not_hold_here():
    assert at(101, held(mitigation()), agent="c").statuses == {}


def test_silence_holds_what_is_declared_to_hold_for_ever_or_for_so_long():
    forever = held(mitigation(OnSilence.HOLD))
    assert at(10_000, forever).statuses == {"m": Status.HELD}
    assert at(10_000, forever).documents == ("false",)
    bounded = held(mitigation(OnSilence.HOLD, hold_s=30.0))
    assert at(139.9, bounded).statuses == {"m": Status.HELD}
    assert at(139.9, bounded).next_us == 140 * SECOND
    assert at(140, bounded).statuses == {}


def test_silence_tightens_what_is_declared_to_tighten():
    standing = at(111, held(mitigation(OnSilence.TIGHTEN)))
    assert standing.tightened
    assert not at(101, held(mitigation(OnSilence.TIGHTEN))).tightened


def test_isolation_holds_through_silence():
    entry = held(mitigation(OnSilence.HOLD, MitigationKind.ISOLATE, policy="", token=1))
    assert at(101, entry).isolated
    assert at(9_999, entry).isolated
    assert at(101, entry).documents == ()


def test_an_intent_that_nothing_proves_fresh_has_no_live_lease():
    assert at(100, held(mitigation(), is_proven=False)).statuses == {}
    assert at(100, held(mitigation(OnSilence.HOLD), is_proven=False)).statuses == {"m": Status.HELD}


def test_scopes_add_up_and_the_same_document_counts_once():
    first, second = held(mitigation()), held(mitigation(id="n"), scope="agent-a")
    assert at(101, first, second).documents == ("false",)
    assert set(at(101, first, second).statuses) == {"m", "n"}


def star(**more):
    fields = {
        "region": "r", "kind": TopologyKind.STAR, "members": ("a", "b"), "hub": "ground", "lease_s": 10.0,
    }  # fmt: skip
    return Topology(**(fields | more))


def test_a_star_ends_with_its_lease_holds_or_leaves_its_members_peerless():
    assert at(101, held(topologies=[star()])).stars
    assert not at(111, held(topologies=[star()])).stars
    assert at(111, held(topologies=[star(on_silence=OnSilence.HOLD)])).stars
    tightened = at(111, held(topologies=[star(on_silence=OnSilence.TIGHTEN)]))
    assert tightened.peerless == {"a", "b"}
    assert not tightened.stars


def test_the_shortest_lease_sets_the_pace_of_beats():
    entry = held(mitigation(), mitigation(id="n", lease_s=4.0))
    assert at(101, entry).shortest_lease_s == 4.0
    assert at(101, held()).shortest_lease_s is None


def test_an_unproven_intent_is_claimed_only_by_those_whom_none_of_its_leases_holds():
    assert held(mitigation()).is_claimed_by("a")
    unproven = held(mitigation(targets=("a",)), topologies=[star(members=("a", "b"))], is_proven=False)
    assert not unproven.is_claimed_by("a")
    assert not unproven.is_claimed_by("b")
    assert unproven.is_claimed_by("c")
