"""The Local Policy VM: the release's policies, the restrictions on top, and what has been observed.

A decision takes one snapshot of (release, restrictions, state): each is an immutable value that is swapped
whole. Restrictions are policies too, so that they can only tighten.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import ripstop.policy  # its loader is loaded when the first document is read
from ripstop.backends.python import Compiled
from ripstop.core.canonical import CanonicalError, Json, canonical_json, digest
from ripstop.core.decision import Decision, Reason, Verdict
from ripstop.core.errors import PolicyError
from ripstop.core.intent import Release
from ripstop.core.journal import restrictions_digest
from ripstop.core.messages import Bundle as WireBundle
from ripstop.core.sample import Sample
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy import Policy, State, make_bundle

PolicyLike: TypeAlias = "str | PathLike[str] | Policy | Mapping[str, Json]"
Policies: TypeAlias = "PolicyLike | Sequence[PolicyLike]"
_MARK = "<vocabulary>"
_SCALARS = frozenset((float, int, str, bool, type(None)))
_MOST_LEVELS = 16  # of a value: a record puts some around it, and CBOR here takes 32


class _Key:
    """A policy or a vocabulary as a key: equal by digest."""

    __slots__ = ("held",)

    def __init__(self, held: Policy | Vocabulary) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.held.digest == self.held.digest

    def __hash__(self) -> int:
        return hash(self.held.digest)


# Agents of one process are often given the same documents. Reading and compiling are pure and give immutable
# values, so both are done once.
@lru_cache(maxsize=512)
def _read(text: str, key: _Key) -> Policy:
    """Read a policy document in canonical JSON for an agent of this vocabulary.

    Raises:
        PolicyError: E0102 where the text is not canonical JSON, else what loading finds.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError("a policy document is not JSON", code="E0102") from error
    named = document.get("vocabulary") if isinstance(document, dict) else None
    try:
        spoken = canonical_json(named).decode() if isinstance(named, dict) else ""
        is_canonical = isinstance(document, dict) and text in _writings(document, spoken)
    except CanonicalError:
        is_canonical = False
    if not is_canonical:
        raise PolicyError("a policy document on the wire is not canonical JSON", code="E0102")
    if isinstance(named, dict):  # a release's policies mostly have one vocabulary, and it outlives releases
        rest = {name: value for name, value in document.items() if name != "vocabulary"}
        return ripstop.policy.load(rest, _read_vocabulary(spoken))
    own = key.held
    fits = isinstance(own, Vocabulary) and isinstance(named, str) and own.descends_from(named)
    return ripstop.policy.load(document, own if fits and isinstance(own, Vocabulary) else None)


def _writings(document: Mapping[str, Json], vocabulary: str) -> Iterator[str]:
    """Give a document's canonical JSON: first from that of its vocabulary, which is most of it.

    That goes wrong, and never unnoticed, where the mark stands in the document itself; then in full.
    """
    if vocabulary:
        marked = canonical_json({**document, "vocabulary": _MARK}).decode()
        yield marked.replace(f'"{_MARK}"', vocabulary, 1)
    yield canonical_json(document).decode()


@lru_cache(maxsize=16)
def _read_vocabulary(text: str) -> Vocabulary:
    return ripstop.policy.load_vocabulary(json.loads(text))


@lru_cache(maxsize=64)
def _compile(
    keys: tuple[_Key, ...], vocabulary: _Key | None, capabilities: tuple[str, ...] | None
) -> Compiled:
    policies = [key.held for key in keys if isinstance(key.held, Policy)]
    own = vocabulary.held if vocabulary is not None else None
    return Compiled(make_bundle(policies, own if isinstance(own, Vocabulary) else None, capabilities))


@lru_cache(maxsize=256)
def _restricted(base: Compiled, restrictions: tuple[str, ...]) -> Compiled:
    key = _Key(base.vocabulary)
    return base.with_policies([_read(text, key) for text in restrictions])


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
        self._capabilities = None if capabilities is None else tuple(capabilities)
        self._given = None if vocabulary is None else _Key(vocabulary)
        self._base = _compile(tuple(map(_Key, loaded)), self._given, self._capabilities)
        self._state = self._base.start()
        self._fresh: dict[str, tuple[float, int]] = {}
        self._latest_us = 0
        self._decide_by(self._base)
        content = digest([canonical_json(policy.to_json()).decode() for policy in loaded])
        self.release = Release(0, content, "")
        self.restrictions: tuple[str, ...] = ()
        self._intent = ""

    @property
    def vocabulary(self) -> Vocabulary:
        """What the agent speaks."""
        return self._base.vocabulary

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies of the release that apply to this agent."""
        return self._base.policies

    def observe(self, signals: Mapping[str, Json], t_us: int) -> None:
        """Take samples sensed at `t_us`.

        Sound numbers only replace what was known, so they wait here until somebody decides.
        """
        fresh, bounds = self._fresh, self._bounds
        if t_us >= self._latest_us:
            self._latest_us = t_us
            for name, value in signals.items():
                if name not in bounds or type(value) is not float:
                    break
                low, high = bounds[name]
                if not low <= value <= high:
                    break
                fresh[name] = (value, t_us)
            else:
                return
        self._state = self._compiled.observe(self._settled(), _plain(signals), t_us)

    def _settled(self) -> State:
        """Give the state with everything that was observed."""
        if self._fresh:
            moments: dict[int, dict[str, Json]] = {}
            for name, (value, t_us) in self._fresh.items():
                moments.setdefault(t_us, {})[name] = value
            self._fresh.clear()
            for t_us in sorted(moments):
                self._state = self._compiled.observe(self._state, moments[t_us], t_us)
        return self._state

    def sample(self, name: str) -> Sample | None:
        """Give the latest sample of a signal."""
        return self._settled().sample(name)

    def state_digest(self) -> str:
        """Give the digest of everything observed."""
        return digest(self._settled().to_json())

    def decide(self, action: str, context: Mapping[str, Json] | None = None, t_us: int = 0) -> Decision:
        """Decide on an action; nothing changes, and bad input is denied, never raised.

        An error, whatever it is, denies as well, but no failsafe: what cannot be evaluated cannot keep an
        agent from landing.
        """
        try:
            return self._compiled.decide(
                action,
                _plain(context or {}),
                t_us,
                self._settled(),
                release=self.release.digest,
                intent=self._intent,
            )
        except Exception as error:  # noqa: BLE001 (the answer to anything unforeseen is a decision)
            return self._undecided(action, t_us, type(error).__name__)

    def _undecided(self, action: str, t_us: int, error: str) -> Decision:
        name = action if isinstance(action, str) else f"a {type(action).__name__}"
        spec = self.vocabulary.actions.get(name)
        verdict = Verdict.ALLOW if spec is not None and spec.is_failsafe else Verdict.DENY
        reason = Reason("", "error", f"it could not be evaluated: {error}")
        return Decision(name, verdict, (), (reason,), (), t_us, self.release.digest, self._intent)

    def commit(self, decision: Decision) -> bool:
        """Consume what an allowed action takes of the budgets, just before it; false where it may not."""
        if not self._has_budgets:
            return decision.verdict is Verdict.ALLOW
        after = self._compiled.commit(self._settled(), decision)
        if after is not None:
            self._state = after
        return after is not None

    def snapshot(self) -> dict[str, Json]:
        """Give everything observed, remembered and consumed, for a restart."""
        return self._settled().to_json()

    def restore(self, record: Mapping[str, Json]) -> None:
        """Take a snapshot over.

        Raises:
            ValueError: when the record has not that form.
        """
        self._fresh.clear()
        self._state = self._compiled.restore(record)
        self._latest_us = max(self._latest_us, self._state.t_us)

    def verdict(self, context: Mapping[str, Json], t_us: int = 0) -> Verdict:
        """Evaluate the raw rule of the release's policy (of several: their meet); only ALLOW is true."""
        return self._base.verdict(context, t_us)

    def adopt(self, bundle: WireBundle) -> None:
        """Swap to a release; the restrictions stay on, and what was observed carries over.

        Raises:
            PolicyError: it does not load or does not fit; the last good one stays.
        """
        own = _Key(self.vocabulary)
        keys = tuple(_Key(_read(text, own)) for text in bundle.policies)
        base = _compile(keys, None if keys else self._given, self._capabilities)
        compiled = _restricted(base, self.restrictions)
        state = self._settled()
        self._base = base
        self._decide_by(compiled)
        if base.vocabulary.digest != state.vocabulary.digest:
            state = self._rebuilt(base.vocabulary)
        self._state = compiled.adopt(state)
        self.release = Release(bundle.counter, digest(list(bundle.policies)), bundle.commit)

    def prepare(self, restrictions: Sequence[str]) -> None:
        """Check that restrictions can be put in force; nothing changes.

        Raises:
            PolicyError: one does not load or does not fit.
        """
        _restricted(self._base, tuple(restrictions))

    def restrict(self, restrictions: Sequence[str]) -> None:
        """Put policy documents in force on top of the release, in place of those before."""
        documents = tuple(restrictions)
        compiled = _restricted(self._base, documents)
        if compiled.adopt(self._state) is not self._state:
            self._state = compiled.adopt(self._settled())  # by the policies so far: others begin to watch now
        self._decide_by(compiled)
        self.restrictions = documents
        self._intent = restrictions_digest(documents)

    def _decide_by(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._bounds = _bounds(compiled)
        self._has_budgets = any(policy.budgets for policy in compiled.policies)

    def shift(self, by_us: int) -> None:
        """Move every sample in time: the wall clock has jumped, the samples are as old as before."""
        self._state = self._settled().shifted(by_us)
        self._latest_us += by_us

    def _rebuilt(self, vocabulary: Vocabulary) -> State:
        """Read what was observed with another vocabulary; what budgets have consumed stays."""
        readings = self._state.readings
        samples = [Sample(name, item.value, item.t_us) for name, item in readings.items()]
        valid = [item.valid for item in readings.values() if item.valid is not None]
        return replace(State.of_samples(vocabulary, samples, valid), spent=self._state.spent)


@lru_cache(maxsize=256)
def _bounds(compiled: Compiled) -> Mapping[str, tuple[float, float]]:
    """Give between what a plain number of each signal is sound, and need not be told to the state at once.

    INVARIANT: none where a policy looks into the past, for its windows must see every sample.
    """
    if any(policy.program.windows for policy in compiled.policies):
        return {}
    vocabulary = compiled.vocabulary
    most = sys.float_info.max
    return {
        name: (-most if spec.low is None else spec.low, most if spec.high is None else spec.high)
        for name, spec in vocabulary.signals.items()
        if spec.type in ("number", "timestamp")
    }


def _listed(policies: Policies) -> Sequence[PolicyLike]:
    if isinstance(policies, str | PathLike | Policy | Mapping):
        return (policies,)
    return policies


def _loaded(policy: PolicyLike) -> Policy:
    if isinstance(policy, Policy):
        return policy
    return ripstop.policy.load(Path(policy) if isinstance(policy, PathLike) else policy)


def _plain(values: Mapping[str, Json]) -> Mapping[str, Json]:
    """Let nothing but JSON in: what is foreign, or nested too deep, reads as no number: it is UNKNOWN."""
    for name, value in values.items():  # a generator would cost a call
        if type(name) is not str or type(value) not in _SCALARS:
            break
    else:
        return values
    return {
        str(name): value if _is_plain(value, _MOST_LEVELS) else math.nan for name, value in values.items()
    }


def _is_plain(value: Json, levels: int) -> bool:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return levels > 0 and all(_is_plain(item, levels - 1) for item in value)
    return value is None or isinstance(value, str | int | float)
