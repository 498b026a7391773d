"""Checks a commit's policy files with the policy language itself, all of them and all findings at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ripstop.core.canonical import canonical_json
from ripstop.core.errors import Place
from ripstop.policy.bundle import make_bundle
from ripstop.policy.diagnostics import Finding, PolicyRejectedError
from ripstop.policy.document import Policy
from ripstop.policy.loader import check

_TIERS = ("safety", "business")


@dataclass(frozen=True, slots=True)
class Checked:
    """Policies that hold: documents in canonical JSON, and what is allowed in them but looks wrong."""

    documents: tuple[str, ...]
    lints: tuple[str, ...] = ()


def check_policies(paths: Sequence[Path]) -> Checked:
    """Check policies; their documents have the vocabularies resolved, and stand safety first, then by id.

    Raises:
        PolicyRejectedError: with every finding of every file, E0312 for an id that stands twice among them.
        PolicyError: E0313 for vocabularies that do not fit together.
    """
    findings: list[Finding] = []
    lints: list[Finding] = []
    places: dict[str, Path] = {}
    policies: list[Policy] = []
    for path in paths:
        checked = check(path)
        if checked.policy is not None:
            policies.append(checked.policy)
            lints += checked.policy.lints
            first = places.setdefault(checked.policy.id, path)
            if first != path:
                findings.append(_twice(checked.policy.id, first, path))
        else:
            findings += [finding for finding in checked.findings if finding.code.startswith("E")]
    if findings:
        raise PolicyRejectedError(findings)
    make_bundle(policies)
    policies.sort(key=lambda policy: (_TIERS.index(policy.tier), policy.id))
    documents = tuple(canonical_json(policy.to_json()).decode() for policy in policies)
    return Checked(documents, tuple(map(str, lints)))


def _twice(policy: str, first: Path, second: Path) -> Finding:
    return Finding(
        "E0312", f"`{first}` has the id `{policy}`, too", Place(str(second)), "ids are unique in a bundle"
    )
