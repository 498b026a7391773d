"""What every layer speaks: values, ids and digests, clocks, chance, errors; no third-party package."""
