"""Self-restraint as policies: what the agent denies itself is decided and recorded like all the rest.

Each is a policy document like any other that restricts: it can only tighten, and no failsafe is in its reach.
"""

from __future__ import annotations

from enum import Enum

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.vocabulary import Vocabulary


class Restraint(Enum):
    """Why an agent restrains itself."""

    BREAKER = "breaker"
    SILENCE = "silence"
    LEDGER = "ledger"

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
}
TEXTS = {restraint.policy_id: restraint.text for restraint in Restraint}


def restraint_policy(
    restraint: Restraint, vocabulary: Vocabulary, breaker_actions: tuple[str, ...] | None
) -> str:
    """Give the policy document, in canonical JSON: it denies what it guards.

    The breaker guards the actions that it was given, less the failsafes; everything else guards all actions
    but the failsafes.
    """
    document: dict[str, Json] = {
        "ripstop": 1,
        "id": restraint.policy_id,
        "description": restraint.text,
        "tier": "safety",
        "rule": False,
    }
    if restraint is Restraint.BREAKER and breaker_actions is not None:
        failsafes = vocabulary.failsafes
        document["guards"] = [action for action in breaker_actions if action not in failsafes]
    return canonical_json(document).decode()
