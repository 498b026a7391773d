"""Self-restraint as policies: what the agent denies itself is decided and recorded like all the rest.

Each is a policy document like any other that restricts: it can only tighten, and no failsafe is in its reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from enum import Enum

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.vocabulary import Vocabulary


class Restraint(Enum):
    """Why an agent restrains itself."""

    BREAKER = "breaker"
    SILENCE = "silence"
    LEDGER = "ledger"
    EXPIRED = "expired"
    STALE = "stale"
    UNTRUSTED = "untrusted"
    LIMIT = "limit"
    HOLD = "hold"
    STOP = "stop"

    @property
    def policy_id(self) -> str:
        """The id of its policy, as it stands in reasons and evidence."""
        return f"agent/{self.value}"

    @property
    def text(self) -> str:
        """Why, in words."""
        return _TEXTS[self]


_TEXTS = {
    Restraint.BREAKER: "breaker is open",
    Restraint.SILENCE: "a mitigation's lease ended in silence",
    Restraint.LEDGER: "the ledger cannot be written",
    Restraint.EXPIRED: "the release has expired",
    Restraint.STALE: "its policy has had no word from the ground for too long",
    Restraint.UNTRUSTED: "no release on the disk can be trusted",
    Restraint.LIMIT: "the agent limits itself",
    Restraint.HOLD: "the agent holds itself back",
    Restraint.STOP: "the stop switch is on",
}
TEXTS = {restraint.policy_id: restraint.text for restraint in Restraint}


def restraint_policy(
    restraint: Restraint,
    vocabulary: Vocabulary,
    actions: Sequence[str] | None = None,
    exempt: Set[str] = frozenset(),
) -> str:
    """Give the policy document, in canonical JSON: it denies `actions`, less the failsafes and those exempt.

    None is all actions but the failsafes.
    """
    document = _document(restraint) | {"rule": False}
    if actions is None and exempt:
        actions = tuple(vocabulary.actions)
    if actions is not None:
        failsafes = vocabulary.failsafes
        document["guards"] = [name for name in actions if name not in failsafes and name not in exempt]
    return canonical_json(document).decode()


def limit_policies(
    limits: Mapping[str, Mapping[str, float]], vocabulary: Vocabulary, exempt: Set[str] = frozenset()
) -> list[str]:
    """Give policy documents that put limits on: one a parameter, guarding the actions that have it."""
    documents = []
    for number, (parameter, bounds) in enumerate(sorted(limits.items())):
        document = _document(Restraint.LIMIT)
        document["id"] = f"{Restraint.LIMIT.policy_id}/{number}"
        document["limits"] = [{"limit": {parameter: dict(bounds)}}]
        if not vocabulary.is_open:
            guards: list[Json] = [
                name
                for name, spec in vocabulary.actions.items()
                if parameter in spec.parameters and not spec.is_failsafe and name not in exempt
            ]
            if not guards:
                continue
            document["guards"] = guards
        documents.append(canonical_json(document).decode())
    return documents


def _document(restraint: Restraint) -> dict[str, Json]:
    return {
        "ripstop": 1,
        "id": restraint.policy_id,
        "description": restraint.text,
        "tier": "safety",
    }
