"""The temporal operators of a bundle, watched: which there are, and what evaluates their conditions."""

from __future__ import annotations

from collections.abc import Sequence

from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.bundle import Bundle
from ripstop.policy.document import Policy
from ripstop.policy.ir import rule_of
from ripstop.policy.reference_time import conditions_of
from ripstop.policy.state import NO_WATCH
from ripstop.policy.temporal import Watch, key_of, watched


def watch_of(bundle: Bundle) -> Watch:
    """Give the watch over a bundle's temporal operators."""
    programs = [policy.program for policy in bundle.policies if policy.program.windows]
    if not programs:
        return NO_WATCH
    entries = watched(programs, bundle.vocabulary)
    return Watch(entries, tuple(conditions_of(entry, bundle.vocabulary) for entry in entries))


def recalls_of(policies: Sequence[Policy], vocabulary: Vocabulary) -> list[str]:
    """Give the keys of the temporal operators that policies recall."""
    keys = (key_of(rule_of(expr), vocabulary) for policy in policies for expr in policy.program.recalls)
    return list(dict.fromkeys(keys))
