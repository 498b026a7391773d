"""A node under whatever comes in any order: orders, forgeries, replays, silence, restarts, leaping clocks."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.scripted_ground import AGENT, NAMES, RELEASE, SHED, STOP, STRANGER, build_world, mitigation
from ripstop.core.decision import Verdict
from ripstop.core.intent import MitigationKind, OnSilence
from ripstop.core.node import Connected, Disconnected, Send

YEAR_S = 365.25 * 86400.0
SYNCED_S = 0.5  # what a power cut may take is younger (ADR 0006)
LEASES_S = st.sampled_from([10.0, 60.0])  # above the pace of beats, from which they run


class NodeMachine(RuleBasedStateMachine):
    """One agent; `ordered` is the intent in force as the ground knows it, and when it was sent."""

    def __init__(self):
        super().__init__()
        self.world = build_world()
        self.world.round_trip()
        self.sent = []
        self.ordered = ()
        self.ordered_us = 0
        self.highest = self.world.node.position
        self.latch = ""
        self.is_proven = True

    @property
    def now_us(self):
        return self.world.timeline.now_us

    @property
    def statuses(self):
        return dict(self.world.node.standing.statuses)

    # ---- what may happen ----------------------------------------------------------------------------------

    @rule(lease_s=LEASES_S, silence=st.sampled_from(OnSilence), isolate=st.booleans())
    def order(self, lease_s, silence, isolate):
        kind = {"kind": MitigationKind.ISOLATE, "policy": "", "token": 1} if isolate else {"policy": SHED}
        made = mitigation(id=f"m{len(self.sent)}", lease_s=lease_s, on_silence=silence, **kind)
        self.world.round_trip()
        self.sent.append(self.world.order(made))
        assert self.statuses.keys() == {made.id}
        self.world.run(SYNCED_S)
        self.ordered, self.ordered_us, self.is_proven = (made,), self.now_us, True

    @rule()
    def lift(self):
        self.world.round_trip()
        self.sent.append(self.world.order())
        assert self.statuses == {}
        self.world.run(SYNCED_S)
        self.ordered, self.is_proven = (), True

    @rule(key=st.sampled_from([AGENT, RELEASE, STOP, STRANGER]), ahead=st.integers(1, 1000))
    def forge(self, key, ahead):
        at = self.world.ground.position
        self.changes_nothing(
            self.world.intent(mitigation(id="forged"), key=key, epoch=at.epoch + ahead, generation=ahead)
        )

    @rule(data=st.data())
    def replay(self, data):
        if self.sent:
            self.changes_nothing(data.draw(st.sampled_from(self.sent)))

    @rule(data=st.data(), place=st.integers(0, 10**6), bit=st.integers(0, 7))
    def corrupt(self, data, place, bit):
        if self.sent:
            raw = bytearray(data.draw(st.sampled_from(self.sent)))
            raw[place % len(raw)] ^= 1 << bit
            self.changes_nothing(bytes(raw))

    @rule(generation=st.integers(0, 5), foreign=st.booleans())
    def foreign_or_older(self, generation, foreign):
        at = self.world.ground.position
        more = {"fleet": "town", "generation": at.generation + 1 + generation} if foreign else {"epoch": 0}
        self.changes_nothing(self.world.intent(mitigation(id="foreign"), **{"generation": generation} | more))
        self.world.ground.position = at

    def changes_nothing(self, raw):
        before = self.statuses, self.world.node.position
        self.world.say(Send(NAMES.intent("fleet"), raw))
        self.world.run(0)
        assert (self.statuses, self.world.node.position) == before

    @rule(seconds=st.sampled_from([0.5, 5.0, 30.0, 4000.0]), ticks=st.booleans())
    def pass_time(self, seconds, ticks):
        if ticks:
            self.world.tick()
        self.world.run(seconds)

    @rule(seconds=st.sampled_from([YEAR_S, -YEAR_S, 0.5, -3600.0]))
    def jump(self, seconds):
        before = self.statuses
        self.world.network.jump_wall("a", seconds)
        assert self.statuses == before

    @rule()
    def lose_the_link_and_find_it(self):
        network = self.world.network
        for event in (Disconnected(), Connected()):
            network.perform("a", self.world.node.step(event, network.now("a")))
        self.world.run(0.1)

    @rule(power_cut=st.booleans())
    def restart(self, power_cut):
        self.world.restart(power_cut)
        self.is_proven = False

    @precondition(lambda self: not self.latch)
    @rule()
    def stop(self):
        network = self.world.network
        latch, effects = self.world.node.command(
            lambda now, out: self.world.node.responder.pull("smoke", now, out), network.now("a")
        )
        network.perform("a", effects)
        self.latch = latch
        self.world.run(SYNCED_S)

    # ---- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def the_failsafe_is_permitted(self):
        assert self.world.request("land").verdict is Verdict.ALLOW

    @invariant()
    def no_position_is_taken_back(self):
        position = self.world.node.position
        if self.is_proven:  # after a restart an agent does not claim to obey what it counts as over
            assert position >= self.highest
            self.highest = position
        assert position <= self.world.ground.position

    @invariant()
    def what_is_ordered_holds_as_silence_declares(self):
        age_s = (self.now_us - self.ordered_us) / 1e6
        for made in self.ordered:
            is_over = age_s >= made.lease_s or not self.is_proven
            if made.on_silence is OnSilence.REVERT:
                assert not (is_over and made.id in self.statuses)
            else:
                assert made.id in self.statuses
        assert self.statuses.keys() <= {made.id for made in self.ordered}

    @invariant()
    def a_stop_latches(self):
        if self.latch:
            self.world.observe(battery_percent=90.0)
            assert self.world.node.responder.switch.is_stopped
            assert not self.world.request("accept_task", payload_kg=0.1)

    def teardown(self):
        self.world.records()  # all of them can be read


NodeMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
test_a_node_under_whatever_comes_keeps_its_promises = NodeMachine.TestCase
