"""Functions that an agent governs, and what a veto says."""

import asyncio
import math

import pytest

from agent.scripted_ground import POLICY
from ripstop.agent import (
    ActionVetoed,
    Agent,
    BreakerOpen,
    BreakerSettings,
    Bulkhead,
    CircuitBreaker,
    NodeSettings,
)
from ripstop.core.errors import ConfigurationError


def test_an_action_that_no_policy_guards_is_denied_with_that_reason_alone():
    with pytest.raises(ActionVetoed, match="`go` is denied: no policy guards `go`"):
        Agent("drone-42").act("go", int)


def test_governed_without_parentheses_is_named_like_the_function():
    drone = Agent("drone-42", {"==": [{"var": "height_m"}, 10]})

    @drone.governed
    def take_off(height_m: float) -> str:
        """Up."""
        return f"at {height_m} m"

    assert (take_off(10), take_off.__doc__) == ("at 10 m", "Up.")
    with pytest.raises(ActionVetoed, match="`take_off` is denied"):
        take_off(11)


@pytest.mark.parametrize("decorated", [classmethod(len), property(len), None, 5])
def test_what_is_no_function_is_refused_before_anything_is_called(decorated):
    drone = Agent("drone-42")
    held = drone.node.ledger_head
    for decorate in (drone.governed, drone.governed("take_off"), CircuitBreaker()):
        with pytest.raises(ConfigurationError, match="C0307: expected a function"):
            decorate(decorated)
    with pytest.raises(ConfigurationError, match="C0307: expected a function"):
        drone.act("take_off", decorated)
    with pytest.raises(ConfigurationError, match="C0307: expected a function"):
        asyncio.run(drone.act_async("take_off", decorated))
    assert drone.node.ledger_head == held, "nothing was decided"


def test_a_generator_that_is_governed_is_decided_when_it_is_called_and_counts_when_it_has_run():
    settings = NodeSettings("a", call_breaker=BreakerSettings(minimum_number_of_calls=1))
    drone = Agent("a", {"<": [{"var": "height_m"}, 10]}, settings=settings)

    @drone.governed("scan")
    def scan(height_m):
        yield height_m
        raise OSError("no picture")

    with pytest.raises(ActionVetoed):
        scan(11)
    frames = scan(9)
    assert next(frames) == 9
    with pytest.raises(OSError, match="no picture"):
        next(frames)
    with pytest.raises(BreakerOpen):
        next(scan(9))


def test_a_coroutine_function_may_be_acted_on_like_any_other():
    settings = NodeSettings("a", call_breaker=BreakerSettings(minimum_number_of_calls=1))
    drone = Agent("a", {"<": [{"var": "height_m"}, 10]}, settings=settings)

    async def climb(height_m):
        raise OSError("no lift")

    with pytest.raises(OSError, match="no lift"):
        asyncio.run(drone.request_action(climb, {"height_m": 5}))
    with pytest.raises(BreakerOpen):
        drone.request_action(climb, {"height_m": 5})


def test_readings_and_names_of_the_wrong_type_are_refused_in_words():
    with pytest.raises(ConfigurationError, match="C0101: `5` is not an id"):
        Agent(5)
    with pytest.raises(ConfigurationError, match="C0307: expected values by name"):
        Agent("a").observe([12.5])


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 1e300])
def test_a_time_that_is_none_is_no_takeover_and_no_more_than_is_left_to_defer(seconds):
    with Agent("a", POLICY) as drone:
        with pytest.raises(ConfigurationError, match="C0377"):
            drone.take_over("accept_task", operator="ops", reason="test", seconds=seconds)
        assert drone.defer(seconds, "over water") in (0.0, 60.0)


@pytest.mark.parametrize("name", ["watch", "breaker_actions", "capabilities", "personal"])
@pytest.mark.parametrize("given", ["battery_v", 5, (1,)])
def test_a_lone_name_is_not_taken_for_its_letters(name, given):
    with pytest.raises(ConfigurationError, match=f"C0303: `{name}` is a tuple of names"):
        NodeSettings("a", **{name: given})


@pytest.mark.parametrize("value", [0, math.nan, math.inf, "5"])
def test_a_cadence_that_is_none_is_refused(value):
    with pytest.raises(ConfigurationError, match="C0303: `beat_s`"):
        NodeSettings("a", beat_s=value)


@pytest.mark.parametrize("more", [{"low": 2.5}, {"low": "2"}, {"high": math.inf}, {"slow_s": "x"}])
def test_a_bulkhead_of_the_wrong_kind_is_refused(more):
    with pytest.raises(ConfigurationError, match="C0372"):
        Bulkhead(**more)
