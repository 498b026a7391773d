"""The Local Policy VM: the release's policies, the restrictions on top, and what has been observed.

A decision takes one snapshot of (release, restrictions, state): each is an immutable value that is swapped
whole. Restrictions are policies too, so that they can only tighten.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from ripstop.core.canonical import CanonicalError, Json, canonical_json, digest
from ripstop.core.decision import Decision, Reason, Verdict
from ripstop.core.errors import PolicyError
from ripstop.core.intent import Release
from ripstop.core.journal import restrictions_digest
from ripstop.core.messages import Bundle as WireBundle
from ripstop.core.sample import Sample
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy import Bundle, Policy, State, load, make_bundle
from ripstop.policy import reference as engine

PolicyLike: TypeAlias = "str | PathLike[str] | Policy | Mapping[str, Json]"
Policies: TypeAlias = "PolicyLike | Sequence[PolicyLike]"


class _Key:
    """A vocabulary as a key: equal by digest."""

    __slots__ = ("vocabulary",)

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.vocabulary.digest == self.vocabulary.digest

    def __hash__(self) -> int:
        return hash(self.vocabulary.digest)


# Agents of one process are often given the same documents: reading them is pure, so it is done once.
@lru_cache(maxsize=512)
def _read(text: str, key: _Key) -> Policy:
    """Read a policy document in canonical JSON for an agent of this vocabulary.

    Raises:
        PolicyError: E0313 where the text is not canonical, else what loading finds.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError("a policy document is not JSON", code="E0102") from error
    try:
        is_canonical = canonical_json(document).decode() == text
    except CanonicalError:
        is_canonical = False
    if not is_canonical or not isinstance(document, dict):
        raise PolicyError("a policy document on the wire is not canonical JSON", code="E0102")
    named = document.get("vocabulary")
    own = key.vocabulary
    return load(document, own if isinstance(named, str) and own.descends_from(named) else None)


class PolicyVM:
    """Decides for one agent.

    Args:
        policies: what it begins with: a file's path, a policy, a document, or a sequence of these.
        vocabulary: what the agent speaks; that of its policies by default.
        capabilities: what it can do, for `applies_to`; None is unknown, and what is unknown applies.

    Raises:
        PolicyError: a policy does not load, or does not fit.
    """

    def __init__(
        self,
        policies: Policies = (),
        *,
        vocabulary: Vocabulary | None = None,
        capabilities: Sequence[str] | None = None,
    ) -> None:
        loaded = tuple(map(_loaded, _listed(policies)))
        self._capabilities = capabilities
        self._given = vocabulary
        self._policies = loaded
        self._base = make_bundle(loaded, vocabulary, capabilities)
        self._bundle = self._base
        self._state = State(self._base.vocabulary)
        content = digest([canonical_json(policy.to_json()).decode() for policy in loaded])
        self.release = Release(0, content, "")
        self.restrictions: tuple[str, ...] = ()
        self._intent = ""

    @property
    def vocabulary(self) -> Vocabulary:
        """What the agent speaks."""
        return self._bundle.vocabulary

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies of the release."""
        return self._policies

    def observe(self, signals: Mapping[str, Json], t_us: int) -> None:
        """Take samples sensed at `t_us`."""
        self._state = self._state.observe(signals, t_us)

    def sample(self, name: str) -> Sample | None:
        """Give the latest sample of a signal."""
        return self._state.sample(name)

    def state_digest(self) -> str:
        """Give the digest of everything observed."""
        return digest(self._state.to_json())

    def decide(self, action: str, context: Mapping[str, Json] | None = None, t_us: int = 0) -> Decision:
        """Decide on an action; nothing changes, and bad input is denied, never raised."""
        given = {str(name): _plain(value) for name, value in (context or {}).items()}
        try:
            decision = engine.decide(self._bundle, action, given, t_us, self._state)
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            reason = Reason("", "error", f"it could not be evaluated: {type(error).__name__}")
            decision = Decision(str(action), Verdict.DENY, reasons=(reason,), t_us=t_us)
        return replace(decision, release=self.release.digest, intent=self._intent)

    def verdict(self, context: Mapping[str, Json], t_us: int = 0) -> Verdict:
        """Evaluate the first policy's rule alone; ALLOW is true, all else is not."""
        return engine.verdict(self._policies[0], context, t_us)

    def adopt(self, bundle: WireBundle) -> None:
        """Swap to a release; the restrictions stay on, and what was observed carries over.

        Raises:
            PolicyError: it does not load or does not fit; the last good one stays.
        """
        key = _Key(self.vocabulary)
        loaded = tuple(_read(text, key) for text in bundle.policies)
        base = make_bundle(loaded, None if loaded else self._given, self._capabilities)
        restricted = self._restricted(loaded, self.restrictions, base.vocabulary)
        self._policies, self._base, self._bundle = loaded, base, restricted
        if base.vocabulary.digest != self._state.vocabulary.digest:
            self._state = self._rebuilt(base.vocabulary, 0)
        self.release = Release(bundle.counter, digest(list(bundle.policies)), bundle.commit)

    def prepare(self, restrictions: Sequence[str]) -> None:
        """Check that restrictions can be put in force; nothing changes.

        Raises:
            PolicyError: one does not load or does not fit.
        """
        self._restricted(self._policies, restrictions, self.vocabulary)

    def restrict(self, restrictions: Sequence[str]) -> None:
        """Put policy documents in force on top of the release, in place of those before."""
        self._bundle = self._restricted(self._policies, restrictions, self._base.vocabulary)
        self.restrictions = tuple(restrictions)
        self._intent = restrictions_digest(self.restrictions)

    def _restricted(
        self, policies: tuple[Policy, ...], restrictions: Sequence[str], vocabulary: Vocabulary
    ) -> Bundle:
        key = _Key(vocabulary)
        extra = tuple(_read(text, key) for text in restrictions)
        return make_bundle((*policies, *extra), vocabulary, self._capabilities)

    def shift(self, by_us: int) -> None:
        """Move every sample in time: the wall clock has jumped, the samples are as old as before."""
        self._state = self._rebuilt(self.vocabulary, by_us)

    def _rebuilt(self, vocabulary: Vocabulary, by_us: int) -> State:
        readings = self._state.readings
        samples = [Sample(name, item.value, item.t_us + by_us) for name, item in readings.items()]
        valid = [
            replace(item.valid, t_us=item.valid.t_us + by_us)
            for item in readings.values()
            if item.valid is not None
        ]
        return State.of_samples(vocabulary, samples, valid)


def _listed(policies: Policies) -> Sequence[PolicyLike]:
    if isinstance(policies, str | PathLike | Policy | Mapping):
        return (policies,)
    return policies


def _loaded(policy: PolicyLike) -> Policy:
    if isinstance(policy, Policy):
        return policy
    return load(Path(policy) if isinstance(policy, PathLike) else policy)


def _plain(value: Json) -> Json:
    """Let nothing but JSON in: what is foreign reads as no number, so that it is UNKNOWN."""
    if value is None or isinstance(value, str | int | float | list | tuple | Mapping):
        return value
    return math.nan
