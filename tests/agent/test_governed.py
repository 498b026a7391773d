"""Functions that an agent governs, and what a veto says."""

import pytest

from ripstop.agent import ActionVetoed, Agent


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
