"""A VM that restarts and is restrained in between remembers what one does that was left alone.

What it decides is held to the reference, which looks at the whole trace.
"""

import json
import os

import pytest

from edge_programs import VOCABULARY, Contexts, Programs, generator
from ripstop.agent import PolicyVM
from ripstop.core.canonical import canonical_json
from ripstop.policy import PolicyRejectedError, load, make_bundle, reference
from ripstop.policy.reference_time import History

TRACES = 500 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 12


class Walk:
    """A VM, and the history of what it has observed."""

    def __init__(self, seed):
        self.rng = generator(seed)
        self.programs, self.contexts = Programs(self.rng), Contexts(self.rng)
        self.policies = [self.policy(number) for number in range(self.rng.randint(1, 2))]
        self.mitigations = [self.wire(self.policy(10 + number)) for number in range(2)]
        self.vm, self.history, self.t_us = self.made(), History(VOCABULARY), 0

    def made(self):
        return PolicyVM(self.policies, vocabulary=VOCABULARY)

    def policy(self, number):
        """Draw a policy without budgets: the history knows nothing of what was done."""
        while True:
            document = self.programs.document(number)
            document.pop("budgets", None)
            try:
                policy = load(document)
            except PolicyRejectedError:
                continue
            if policy.program.windows or self.rng.random() < 0.3:
                return policy

    def wire(self, policy):
        return canonical_json(policy.to_json() | {"vocabulary": VOCABULARY.to_json()}).decode()

    def signals(self):
        """Draw all signals, some of them, or sound numbers alone, which the VM does not look at at once."""
        rng = self.rng
        drawn = {name: value for name, value in self.contexts.context().items() if name not in "pq"}
        few = {name: value for name, value in drawn.items() if rng.random() < 0.3}
        return rng.choice([drawn, few, {name: float(rng.randint(0, 5)) for name in rng.sample("abc", 2)}])

    def observe(self):
        self.t_us = max(
            0, self.t_us + self.rng.choice([0, -1_000_000, 500_000, self.rng.randint(0, 3_000_000)])
        )
        signals = self.signals()
        self.vm.observe(signals, self.t_us)
        self.history.observe(signals, self.t_us)

    def restart(self):
        kept, restrictions = json.loads(json.dumps(self.vm.snapshot())), self.vm.restrictions
        self.vm = self.made()
        self.vm.restrict(restrictions)
        self.vm.restore(kept)

    def restrain(self):
        self.vm.restrict(self.rng.sample(self.mitigations, self.rng.randint(0, 2)))

    def compare(self):
        self.vm.restrict([])
        bundle = make_bundle(self.policies, VOCABULARY)
        for _ in range(3):
            t_us = max([self.t_us, *self.history.moments]) + self.rng.choice(
                [0, 0, self.rng.randint(0, 6_000_000)]
            )
            context = self.contexts.context()
            for action in ("go", "stop", "land"):
                wanted = reference.decide(bundle, action, context, t_us, self.history)
                found = self.vm.decide(action, context, t_us)
                for name in ("verdict", "limits", "reasons", "evidence"):
                    assert list_of(getattr(found, name)) == list_of(getattr(wanted, name))


def list_of(part):
    return list(part) if hasattr(part, "__iter__") else part


@pytest.mark.parametrize("batch", range(4))
def test_restarts_and_mitigations_that_came_and_went_change_no_decision(batch):
    for number in range(TRACES):
        walk = Walk(1000 * batch + number)
        for _ in range(walk.rng.randint(1, 10)):
            walk.rng.choice([walk.observe, walk.observe, walk.observe, walk.restart, walk.restrain])()
        walk.compare()
