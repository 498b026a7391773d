"""What a drone may carry on a low battery: a vocabulary, a bare rule over it, and a policy that limits."""

from __future__ import annotations

from ripstop.core.vocabulary import ActionSpec, SignalSpec, Vocabulary

BARE = {"if": [{"<": [{"var": "battery_percent"}, 30]}, {"<=": [{"var": "payload_kg"}, 1.0]}, True]}
VOCABULARY = Vocabulary(
    "drone",
    signals={"battery_percent": SignalSpec("battery_percent", unit="%", low=0, high=100, max_age_s=60)},
    actions={
        "accept_task": ActionSpec("accept_task", {"payload_kg": SignalSpec("payload_kg")}, clamp=True),
        "take_off": ActionSpec("take_off", {"payload_kg": SignalSpec("payload_kg")}),
        "land": ActionSpec("land", failsafe=0),
    },
)
LIMITED = {
    "ripstop": 1,
    "id": "payload",
    "vocabulary": VOCABULARY.to_json(),
    "guards": ["accept_task", "take_off"],
    "limits": [
        {"when": {"<": [{"var": "battery_percent"}, 30]}, "limit": {"payload_kg": {"max": 1.0}}},
        {"when": {"<": [{"var": "battery_percent"}, 20]}, "limit": {"payload_kg": {"max": 0.0}}},
    ],
}
