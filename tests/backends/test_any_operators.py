"""Rules of any operators and types: refused with a code, or decided and described alike by all there is."""

import contextlib
import os
from dataclasses import replace

import pytest

from any_programs import AnyPrograms
from edge_programs import VOCABULARY, generator
from ripstop.backends import compile as compile_policies
from ripstop.policy import JsonLogicError, PolicyRejectedError, apply, load, make_bundle, reference
from ripstop.policy.bounds import bounds
from ripstop.policy.codec import decode, encode
from ripstop.policy.explain import explain
from ripstop.policy.explain_search import Question
from ripstop.policy.lower import lower
from ripstop.policy.margin import margin
from ripstop.policy.show import show
from ripstop.policy.text_printer import text_of
from ripstop.policy.text_rules import parse_rule

RULES = 60_000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 1_500
SEEDS = 8


def document(rule, rng):
    unknown = rng.choice(["deny", "allow", {"last_valid": {"max_age_s": 3}}])
    rest = {"vocabulary": VOCABULARY.to_json(), "guards": ["go"], "on_unknown": unknown}
    return {"ripstop": 1, "id": "x", **rest, "rule": rule}


def described(policy, given):
    """Write a policy out in every form that there is, and read it again."""
    assert show(policy)
    bounds(policy)
    again = parse_rule(text_of(policy.program.rule))
    assert load({**given, "rule": again} if "ripstop" in given else again).rule == policy.rule
    record = encode(lower(policy.program))
    assert encode(decode(record)) == record


def decided(policy, drawn):
    compiled, bundle = compile_policies(policy), make_bundle([policy])
    state = compiled.start()
    for _ in range(drawn.rng.randint(0, 2)):
        state = state.observe(drawn.context(), drawn.rng.randint(0, 9_000_000))
    for turn in range(4):
        context, t_us = drawn.context(), drawn.rng.randint(0, 9_000_000)
        expected = reference.decide(bundle, "go", context, t_us, state)
        found = compiled.decide("go", context, t_us, state)
        # What may have been assumed is recorded; code that drops a dead branch knows that its reads were not.
        assert repr(replace(found, last_valid=())) == repr(replace(expected, last_valid=()))
        assert compiled.verdict(context, t_us) is reference.verdict(policy, context, t_us)
        margin(bundle, "go", context, t_us, state)
        if turn == 0:

            def decide(context, t_us=t_us):
                return compiled.decide("go", context, t_us, state)

            signals = bundle.vocabulary.signals
            values = {name: sample.value for name in signals if (sample := state.sample(name))}
            explain(Question("go", (policy,), bundle.vocabulary, context, values | context, decide))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_rules_of_any_operators_are_refused_or_mean_the_same_everywhere(seed):
    drawn = AnyPrograms(generator(seed))
    accepted = 0
    for _ in range(RULES // SEEDS):
        rule = drawn.rule()
        with contextlib.suppress(JsonLogicError):
            apply(rule, drawn.context())
        for given in (rule, document(rule, drawn.rng)):
            try:
                policy = load(given)
            except PolicyRejectedError:
                continue
            accepted += 1
            described(policy, given)
            decided(policy, drawn)
    assert accepted > RULES // SEEDS // 50
