"""Policies as formulas with units."""

import pytest

from ripstop.policy import load
from ripstop.policy.show import formula, show

DOCUMENT = {
    "ripstop": 1,
    "id": "drone/light",
    "tier": "safety",
    "description": "Low battery, light load.",
    "vocabulary": "drone",
    "guards": ["accept_task", "take_off"],
    "applies_to": {"in": ["rotor", {"var": "capabilities"}]},
}


def test_a_document_is_shown_whole():
    limits = [
        {"when": "battery_percent < 20", "limit": {"payload_kg": {"max": 0}}},
        {"limit": {"payload_kg": {"min": 0, "max": 5}}},
    ]
    policy = load(
        {
            **DOCUMENT,
            "rule": "battery_percent >= 10",
            "limits": limits,
            "on_unknown": {"last_valid": {"max_age_s": 30}},
        }
    )
    assert show(policy).splitlines() == [
        "drone/light (safety), over accept_task, take_off",
        "  Low battery, light load.",
        '  applies to agents where "rotor" in capabilities',
        "  requires battery_percent >= 10 %",
        "  limits payload_kg to at most 0 kg when battery_percent < 20 %",
        "  limits payload_kg to 0 to 5 kg",
        "  unknown means the last valid values of at most 30 s, else deny",
    ]


def test_a_bare_rule_and_a_prohibition_say_what_they_are():
    assert show(load({"<": [{"var": "a"}, 1]})).splitlines()[:2] == [
        "inline (a bare rule), over every action but the failsafes",
        "  requires a < 1",
    ]
    forbidding = load({"ripstop": 1, "id": "x", "effect": "forbid", "rule": "load > 3"})
    assert "  forbids load > 3" in show(forbidding)


@pytest.mark.parametrize("width", [100, 40, 20])
@pytest.mark.parametrize(
    "rule",
    [
        "(a < 1 or b > 2 and not c in [1, 2, 3]) and (all x in near: x.load < 0.9 and x.age < 5)",
        "alpha < 1 and beta < 2 implies gamma < 3 or delta < 4 or (epsilon < 5 implies zeta < 6)",
        "if alpha < 1 and beta then gamma > 2 elif delta then epsilon else if zeta then eta else theta",
    ],
)
def test_a_formula_of_any_width_reads_back_as_the_same_rule(tmp_path, rule, width):
    path = tmp_path / "a.rule"
    path.write_text(rule)
    policy = load(path)
    lines = formula(policy.program.rule, width)
    assert width > 80 or len(lines) > 1
    path.write_text("\n".join(lines))
    assert load(path).digest == policy.digest
