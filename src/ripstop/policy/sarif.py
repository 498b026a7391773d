"""Findings as SARIF 2.1.0, which code hosts and editors show beside the line.

References:
    OASIS (2020), Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePath
from urllib.parse import quote

from ripstop.core.canonical import Json
from ripstop.policy.diagnostics import CODES, Finding, Severity

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.LINT: "warning"}


def sarif_of(findings: Iterable[Finding], version: str) -> dict[str, Json]:
    """Give one log with one run.

    Args:
        findings: of any number of files.
        version: Ripstop's, as the run's tool has it.
    """
    results = list(findings)
    codes = sorted({finding.code for finding in results})
    rules: list[Json] = [{"id": code, "shortDescription": {"text": CODES.get(code, code)}} for code in codes]
    driver: dict[str, Json] = {"name": "ripstop", "semanticVersion": version, "rules": rules}
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes.index(finding.code)) for finding in results],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, rule: int) -> dict[str, Json]:
    hint = f" (hint: {finding.hint})" if finding.hint else ""
    made: dict[str, Json] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}{hint}"},
    }
    place = finding.place
    if not place.file:
        return made
    physical: dict[str, Json] = {"artifactLocation": {"uri": _uri(place.file)}}
    if place.line:
        physical["region"] = {"startLine": place.line, "startColumn": place.column}
    location: dict[str, Json] = {"physicalLocation": physical}
    if place.pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": place.pointer, "kind": "value"}]
    return {**made, "locations": [location]}


def _uri(file: str) -> str:
    """Give a file's URI: relative to where the command ran, unless the path is absolute."""
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))
