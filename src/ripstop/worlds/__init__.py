"""Simulated physics that knows no policies: what the loop is closed around."""
