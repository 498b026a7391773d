import math
from pathlib import Path

import pytest

from ripstop import Agent
from ripstop.core.errors import ConfigurationError
from ripstop.policy import load
from ripstop.testing import Stage, assert_allowed, assert_limited, assert_vetoed

pytest_plugins = ["pytester"]
POLICY = Path(__file__).parents[2] / "policies" / "payload_limit.json"


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.close()


def test_a_veto_is_asserted_with_its_reason(stage):
    agent = stage.agent("drone-1", POLICY)
    stage.play(agent, {"battery_percent": [26.0]})
    assert_allowed(agent, "accept_task", payload_kg=0.5)
    decision = assert_vetoed(agent, "accept_task", because="denied", payload_kg=2.5)
    assert not decision


def test_what_is_not_so_fails_the_assertion_and_says_why(stage):
    agent = stage.agent("drone-1", POLICY)
    stage.play(agent, {"battery_percent": [26.0]})
    with pytest.raises(AssertionError, match="is allowed with"):
        assert_vetoed(agent, "accept_task", payload_kg=0.5)
    with pytest.raises(AssertionError, match="not because of `wind`"):
        assert_vetoed(agent, "accept_task", because="wind", payload_kg=2.5)
    with pytest.raises(AssertionError, match="is not allowed with"):
        assert_allowed(agent, "accept_task", payload_kg=2.5)


def test_a_script_raises_the_alarms_that_the_sensor_would(stage):
    agent = stage.agent()
    alarms = stage.play(agent, {"battery_v": [12.5, 12.4, 12.3, 11.0, 10.5]})
    assert [sorted(found) for found in alarms] == [[], [], [], ["battery_v"], ["battery_v"]]
    assert_vetoed(agent, "accept_task")
    before = stage.clock.mono_us
    stage.wait(2.5)
    assert stage.clock.mono_us - before == 2_500_000


def test_a_script_with_a_missing_value_is_refused(stage):
    with pytest.raises(ConfigurationError, match="C0373"):
        stage.play(stage.agent(), {"a": [1.0], "b": [1.0, 2.0]})


def test_the_fixtures_come_by_naming_the_plugin(pytester):
    pytester.makeconftest('pytest_plugins = ["ripstop.testing.plugin"]')
    pytester.makepyfile(
        """
        def test_time_stands_still(ripstop_stage, ripstop_clock):
            agent = ripstop_stage.agent()
            before = ripstop_clock.now()
            agent.observe(battery_v=12.5)
            assert ripstop_clock.now() == before
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_fixtures_come_by_installing_alone_and_load_nothing_before_they_are_asked_for(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded_yet():
            assert "ripstop.agent" not in sys.modules

        def test_an_agent_on_the_stage(ripstop_agent, ripstop_clock):
            assert ripstop_agent("drone-7").clock is ripstop_clock
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_limit_is_asserted_with_its_bounds(stage):
    document = {
        "ripstop": 1, "id": "kg", "tier": "safety", "guards": ["go"],
        "vocabulary": {"name": "v", "actions": {"go": {"parameters": {"kg": {"range": [0, 9]}}}}},
        "limits": [{"when": True, "limit": {"kg": {"max": 1}}}],
    }  # fmt: skip
    agent = stage.agent("a", load(document))
    assert_limited(agent, "go", to={"kg": (-math.inf, 1)}, kg=2)
    with pytest.raises(AssertionError, match="expected a limit to"):
        assert_limited(agent, "go", to={"kg": (0, 1)}, kg=2)
    with pytest.raises(AssertionError, match="is allow"):
        assert_limited(agent, "go", to={}, kg=0.5)


def test_a_stage_plays_to_its_own_agents_only_and_forwards_in_time(stage):
    with Agent("other", POLICY) as other, pytest.raises(ConfigurationError, match=r"C0373.*of this stage"):
        stage.play(other, {"x": [1]})
    with pytest.raises(ConfigurationError, match="C0373"):
        stage.wait(-1)
