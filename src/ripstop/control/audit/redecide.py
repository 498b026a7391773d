"""Decides again, from a decision's own record, what an agent decided: by the reference semantics.

The agent's engine was a compiled one; that the slow, obvious semantics comes to the same verdict, limits,
reasons and evidence is what the record proves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ripstop.core.decision import Decision
from ripstop.core.errors import RipstopError
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.bundle import Bundle, make_bundle
from ripstop.policy.document import Policy
from ripstop.policy.loader import load
from ripstop.policy.reference import decide
from ripstop.policy.reference_record import Recorded


@dataclass(slots=True)
class Redecider:
    """Puts documents together as agents do. `vocabulary` is that of agents whose release names none."""

    vocabulary: Vocabulary | None = None
    _loaded: dict[tuple[str, str], Policy] = field(default_factory=dict)
    _bundles: dict[tuple[tuple[str, ...], tuple[str, ...]], Bundle] = field(default_factory=dict)

    def bundle(self, policies: tuple[str, ...], restrictions: tuple[str, ...]) -> Bundle:
        """Give the release's policies with the restrictions, over the release's vocabulary.

        Raises:
            RipstopError: a document does not load, or they do not fit together.
            ValueError: a document is not JSON.
        """
        found = self._bundles.get((policies, restrictions))
        if found is None:
            release = [self._load(text, self.vocabulary) for text in policies]
            spoken = make_bundle(release, None if release else self.vocabulary).vocabulary
            added = [self._load(text, spoken) for text in restrictions]
            found = self._bundles[policies, restrictions] = make_bundle([*release, *added], spoken)
        return found

    def _load(self, text: str, own: Vocabulary | None) -> Policy:
        """A vocabulary that is only named is the agent's own, where that descends from it."""
        key = (text, own.digest if own is not None else "")
        policy = self._loaded.get(key)
        if policy is None:
            document = json.loads(text)
            named = document.get("vocabulary") if isinstance(document, dict) else None
            is_own = isinstance(named, str) and own is not None and own.descends_from(named)
            policy = self._loaded[key] = load(document, own if is_own else None)
        return policy

    def check(self, record: Mapping[str, object], bundle: Bundle) -> str:
        """Give what differs, in words; empty where the decision comes out the same."""
        try:
            recorded = Decision.from_json(record)  # type: ignore[arg-type]  # CBOR's values are JSON's here
        except ValueError as error:
            return f"the record cannot be read: {error}"
        bundle = _settled(bundle, recorded)
        most = sum(1 for _ in _leading(recorded))
        difference = ""
        for count in range(most, -1, -1):
            try:
                again = _decided(recorded, bundle, count)
            except RipstopError as error:
                return f"it cannot be decided again: {error}"
            found = _difference(recorded, again)
            if not found:
                return ""
            difference = difference or found
        return difference


def _settled(bundle: Bundle, recorded: Decision) -> Bundle:
    """Leave out what does not apply to the agent: a record does not hold capabilities, the evidence tells."""
    seen = {evidence.policy for evidence in recorded.evidence}
    kept = tuple(p for p in bundle.policies if p.applies_to is None or p.digest in seen)
    return Bundle(kept, bundle.vocabulary)


def _leading(recorded: Decision) -> Sequence[str]:
    """The inputs that may be the action's context: those in front that were given at the time itself."""
    names: list[str] = []
    for sample in recorded.inputs:
        if sample.t_us != recorded.t_us:
            break
        names.append(sample.signal)
    return names


def _decided(recorded: Decision, bundle: Bundle, count: int) -> Decision:
    """Decide with the first `count` inputs as the action's context and the rest as observed signals."""
    context = {sample.signal: sample.value for sample in recorded.inputs[:count]}
    state = Recorded.of_samples(
        bundle.vocabulary, recorded.inputs[count:], recorded.last_valid, recorded.remembered
    )
    return decide(bundle, recorded.action, context, recorded.t_us, state)


def _difference(recorded: Decision, again: Decision) -> str:
    if recorded.verdict is not again.verdict:
        return f"verdict `{recorded.verdict.word}`, decided again `{again.verdict.word}`"
    if sorted(recorded.limits) != sorted(again.limits):
        return "other limits when decided again"
    if sorted(recorded.evidence) != sorted(again.evidence):
        return "other evidence when decided again"
    codes = [sorted((r.policy, r.code) for r in decision.reasons) for decision in (recorded, again)]
    return "" if codes[0] == codes[1] else "other reasons when decided again"
