"""Subjects match subscriptions as NATS matches them."""

from __future__ import annotations

import pytest

from ripstop.links.routing import matches


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.b", "a", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("*.b", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a.b", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*", "a.b", False),
        ("A.b", "a.b", False),
    ],
)
def test_a_subject_matches_a_subscription_token_by_token(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected
