"""From a risk report to an intent: playbooks, plans, shedding, stars, isolation and the incident's state machine."""
