"""A whole fleet of real agents loses its server at once, decides on, and comes back: nothing is lost."""

from math import sqrt

from control.governed_fleet import GovernedFleet
from control.scripted_fleet import drone
from ripstop.control.registry import Presence
from ripstop.core.messages import Admission
from ripstop.links.backoff import spread_s
from storms import Storm, busiest

COUNT = 150
ADMISSION = Admission(COUNT, 40.0)


def test_a_fleet_that_loses_its_server_comes_back_under_the_admission_rate_and_loses_nothing():
    fleet = GovernedFleet([drone(row, COUNT) for row in range(COUNT)])
    fleet.run(10)
    assert len(fleet.control.registry.present()) == COUNT
    storm = Storm(fleet.network, fleet.agents, ADMISSION)
    storm.kill(down_s=2.0)
    asked = {name: [] for name in fleet.agents}
    for _ in range(3):
        for name in fleet.agents:
            asked[name].append(fleet.request(name, task_priority=1).verdict)
        fleet.run(5)
    fleet.run(30)
    assert set(storm.returns) == set(fleet.agents)
    assert busiest(sorted(storm.attempts)) <= ADMISSION.per_s + 5 * sqrt(ADMISSION.per_s)
    back_s = max(storm.returns.values()) / 1e6 - (1_000_000_000 / 1e6 + 10 + 2)
    assert back_s <= spread_s(ADMISSION) + 0.1
    assert {member.presence for member in fleet.control.registry} == {Presence.PRESENT}
    for name, agent in fleet.agents.items():
        fleet.network.perform(name, agent.seal(fleet.network.now(name)))
    fleet.run(10)
    heads = fleet.control.intake.heads
    assert {name: (heads[name].last, heads[name].head) for name in fleet.agents} == {
        name: agent.ledger_head for name, agent in fleet.agents.items()
    }
    assert fleet.named("ledger.gapped") == fleet.named("ledger.forked") == fleet.named("ledger.lost") == []
    assert fleet.named("incident.opened") == []
    assert all(len(set(verdicts)) == 1 for verdicts in asked.values()), "an outage changes no verdict"
