"""Self-restraint as policies: what the agent denies itself is decided and recorded like all the rest.

Each is a policy document like any other that restricts: it can only tighten, and no failsafe is in its reach.
"""

from __future__ import annotations

from collections.abc import Sequence
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
}
TEXTS = {restraint.policy_id: restraint.text for restraint in Restraint}


def restraint_policy(
    restraint: Restraint, vocabulary: Vocabulary, actions: Sequence[str] | None = None
) -> str:
    """Give the policy document, in canonical JSON: it denies `actions`, less the failsafes.

    None is all actions but the failsafes.
    """
    document: dict[str, Json] = {
        "ripstop": 1,
        "id": restraint.policy_id,
        "description": restraint.text,
        "tier": "safety",
        "rule": False,
    }
    if actions is not None:
        failsafes = vocabulary.failsafes
        document["guards"] = [action for action in actions if action not in failsafes]
    return canonical_json(document).decode()
