"""Random streams keyed by (seed, purpose), so that one draw more here changes nothing there."""

from __future__ import annotations

import numpy as np


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Give the generator of one purpose under a seed; the same pair gives the same numbers.

    Args:
        seed: not negative.
        purpose: any text; different texts give independent streams.

    References:
        NumPy SeedSequence (O'Neill 2015, "Developing a seed_seq alternative"): entropy words are mixed.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *purpose.encode()])))
