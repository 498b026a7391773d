"""Subjects and durable keys have the documented names, and an id cannot break out of them."""

from __future__ import annotations

import pytest

from ripstop.core.errors import ConfigurationError
from ripstop.core.subjects import Subjects, check_id

NAMES = Subjects("city")


def test_the_names_are_the_documented_ones() -> None:
    assert NAMES.of("beat", "d-1") == "ripstop.city.beat.d-1"
    assert NAMES.every("ack") == "ripstop.city.ack.*"
    assert NAMES.peer("d-2", "d-1") == "ripstop.city.peer.d-2.d-1"
    assert NAMES.peers_of("d-2") == "ripstop.city.peer.d-2.*"
    assert NAMES.intent("agent-d-1") == "ripstop.city.intent.agent-d-1"
    assert (NAMES.tick, NAMES.bundle) == ("ripstop.city.tick", "ripstop.city.bundle")
    assert NAMES.intent_key("fleet") == "city.intent.fleet"
    assert (NAMES.bundle_key, NAMES.epoch_key) == ("city.bundle", "city.epoch")


@pytest.mark.parametrize("name", ["d-1", "DRONE_42", "0", "a" * 64])
def test_plain_ids_are_taken(name: str) -> None:
    assert check_id(name) == name


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "a>", "é", "a\n", "a/b", "a" * 65, "²"])
def test_ids_that_could_break_out_of_a_subject_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_id(name)
    assert caught.value.code == "C0101"
