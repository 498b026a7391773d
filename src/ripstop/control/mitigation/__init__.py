"""From a risk report to an intent: playbooks, plans, shedding, stars, isolation, the incident."""
