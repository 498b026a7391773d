"""Whatever arrives on whatever subject: the node reports it and goes on."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.scripted_ground import AGENT, COMMAND, NAMES, RELEASE, STRANGER, build_world, mitigation
from ripstop.core.decision import Verdict
from ripstop.core.messages import Receipt, Tick
from ripstop.core.node import Fetched, Message
from ripstop.core.wire.cbor import encode
from ripstop.core.wire.envelope import EnvelopeType, Header, seal
from ripstop.core.wire.record import pack

SUBJECTS = (
    NAMES.tick,
    NAMES.bundle,
    NAMES.intent("fleet"),
    NAMES.intent("agent-a"),
    NAMES.of("receipt", "a"),
    NAMES.peer("a", "b"),
    NAMES.peer("a", "ground"),
    "ripstop.city.unheard.of",
)
KINDS = tuple(EnvelopeType)
SIGNERS = (COMMAND, RELEASE, AGENT, STRANGER)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def sealed(draw):
    """A signed envelope around any value: what a careless or hostile holder of a key could send."""
    header = Header(
        draw(st.sampled_from(("city", "other"))),
        draw(st.sampled_from(("fleet", "agent-a", "agent-b", ""))),
        draw(st.integers(0, 3)),
        draw(st.integers(0, 3)),
        draw(st.integers(0, 3)),
    )
    return seal(draw(st.sampled_from(SIGNERS)), draw(st.sampled_from(KINDS)), header, encode(draw(VALUES)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SUBJECTS), st.binary(max_size=80) | sealed()), max_size=12))
def test_no_bytes_on_any_subject_end_the_node_or_loosen_it(messages):
    world = build_world()
    world.round_trip()
    world.observe(battery_percent=20.0)
    now = world.network.now("a")
    for subject, data in messages:
        world.node.step(Message(subject, data), now)
        world.node.step(Fetched(NAMES.bundle_key, data), now)
        world.node.step(Fetched(NAMES.intent_key("fleet"), data), now)
    assert not world.request(payload_kg=2.0)
    assert world.request("land")
    world.order(mitigation())
    assert set(world.node.standing.statuses) == {"m1"}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_byte_of_a_signed_message_is_always_refused(data):
    world = build_world()
    world.round_trip()
    header = Header("city", "fleet", 1, 0, 9)
    tick, receipt = Tick(9, world.ground.position, 0, {}), Receipt("a", 1, 1, 2, b"h", b"")
    subject, signed = data.draw(
        st.sampled_from(
            (
                (NAMES.tick, seal(COMMAND, EnvelopeType.TICK, header, pack(tick))),
                (NAMES.bundle, world.bundle(9)),
                (NAMES.of("receipt", "a"), seal(COMMAND, EnvelopeType.RECEIPT, header, pack(receipt))),
            )
        )
    )
    raw = bytearray(signed)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    effects = world.node.step(Message(subject, bytes(raw)), world.network.now("a"))
    assert any(getattr(effect, "name", "").endswith(".refused") for effect in effects)
    assert world.node.release.counter == 0


READING = st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=3) | st.just(10**400)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(("battery_percent", "battery_v", "x")), READING), max_size=15)
)
def test_no_readings_end_the_node_and_a_bad_last_one_never_permits(readings):
    world = build_world()
    for signals in readings:
        world.observe(**signals)
        world.run(1)
    last = next((r["battery_percent"] for r in reversed(readings) if "battery_percent" in r), None)
    sound = isinstance(last, int | float) and math.isfinite(last if abs(last) < 1e300 else math.inf)
    decision = world.request(payload_kg=2.0)
    if not sound or not 30 <= last <= 100:
        assert decision.verdict is Verdict.DENY
    assert world.request("land")
