"""Coming back after a server's death: in virtual time, with the links' own back-off."""

from __future__ import annotations

from math import e, sqrt

import pytest

from ripstop.core.chance import SplitMix64
from ripstop.core.messages import Admission
from ripstop.core.node import Effects, Event
from ripstop.links.backoff import Backoff, spread_s
from ripstop.links.memory import MemoryNetwork
from ripstop.links.timeline import Timeline
from storms import Storm, busiest

FLEET = Admission(10_000, 2_000.0)


class Silent:
    subjects = ()

    def step(self, event: Event, now: object) -> Effects:
        return ()


def storm(agents: int, admission: Admission | None, down_s: float) -> Storm:
    network = MemoryNetwork(Timeline(), 1)
    names = [f"a{number}" for number in range(agents)]
    for name in ["control", *names]:
        network.attach(name, Silent())
    network.timeline.run_until(1_000_000)
    made = Storm(network, names, admission)
    made.kill(down_s)
    network.timeline.run_until(120_000_000)
    return made


@pytest.mark.parametrize("down_s", [0.0, 0.5, 3.0, 13.0, 40.0])
def test_ten_thousand_agents_come_back_under_the_admission_rate_and_in_time(down_s: float) -> None:
    made = storm(10_000, FLEET, down_s)
    assert len(made.returns) == 10_000
    # The mean stays under the rate; five deviations of a Poisson count are left to chance.
    assert busiest(made.attempts) <= 2_000 + 5 * sqrt(2_000)
    back_s = (max(made.returns.values()) - 1_000_000) / 1e6 - down_s
    assert back_s <= spread_s(FLEET) + 0.01 < 30.0


def test_without_knowing_the_fleet_they_would_storm() -> None:
    assert busiest(storm(10_000, None, 0.0).attempts) == 10_000


def test_a_small_fleet_is_back_at_once() -> None:
    made = storm(150, Admission(150, 2_000.0), 0.05)
    assert max(made.returns.values()) - 1_000_000 < 1_000_000


def test_the_ceiling_doubles_with_failures_and_starts_anew_with_a_connection() -> None:
    backoff = Backoff(0.1, 5.0, SplitMix64(1))
    ceilings = []
    for _ in range(8):
        ceilings.append(backoff.ceiling_s)
        assert 0.0 <= backoff.wait_s() <= backoff.ceiling_s
        backoff.failed()
    assert ceilings == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    backoff.opened()
    assert backoff.ceiling_s == 0.1


def test_the_spread_is_bounded_and_nonsense_spreads_nobody() -> None:
    assert spread_s(FLEET) == pytest.approx(5.0 * e)
    assert spread_s(Admission(10**9, 1.0)) == 120.0
    for agents, per_s in ((0, 1.0), (-5, 1.0), (10, 0.0), (10, -1.0), (10, float("nan")), (10, float("inf"))):
        assert spread_s(Admission(agents, per_s)) == 0.0
