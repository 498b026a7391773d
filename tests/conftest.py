"""What every test shares: how hard the property tests search."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: a busy machine is not a finding. `make soak` searches much longer.
settings.register_profile("quick", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
