"""Which subscriptions a subject matches: NATS's rules for `*` (one token) and `>` (all that follow)."""

from __future__ import annotations


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a subscription to `pattern` hears `subject`.

    References:
        NATS documentation, Subject-Based Messaging, "Wildcards".
    """
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        token in ("*", name) for token, name in zip(wanted, given, strict=True)
    )
