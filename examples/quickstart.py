"""An agent governed by a policy file, with nothing but the standard library."""

from pathlib import Path

from ripstop import ActionVetoed, Agent

POLICY = Path(__file__).parents[1] / "policies" / "payload_limit.json"

agent = Agent("drone-42", POLICY)


def accept_task(payload_kg: float) -> str:
    """What the drone does once it may."""
    return f"carrying {payload_kg} kg"


# The battery is low: the policy permits 1 kg below 30 %, and nothing below 20 %.
agent.receive_telemetry({"name": "battery_percent", "value": 26})
print(agent.request_action(accept_task, {"payload_kg": 0.8}))
try:
    agent.request_action(accept_task, {"payload_kg": 2.5})
except ActionVetoed as veto:  # a PermissionError
    print("vetoed:", veto)
    print("  because of:", [reason.policy for reason in veto.decision.reasons])


# A function may be governed where it is defined; each call is decided on its arguments.
@agent.governed("take_off")
def take_off(payload_kg: float) -> str:
    """Rise."""
    return f"in the air with {payload_kg} kg"


print(take_off(0.5))
print(
    "with 3 kg:", agent.decide("take_off", payload_kg=3).verdict.word, "(nothing is done, nothing recorded)"
)

# The voltage falls off a cliff: the monitor alarms, and the breaker takes the agent out of new work.
for volts in (12.5, 12.4, 12.3, 11.0, 10.5):
    alarm = agent.receive_telemetry({"name": "battery_v", "value": volts})
    print(f"{volts} V:", alarm.explain("battery_v", "V") if alarm else "quiet")
try:
    agent.request_action(accept_task, {"payload_kg": 0.1})
except RuntimeError as refusal:
    print("refused:", refusal)
