"""Ripstop keeps one autonomous agent's fault from becoming the whole fleet's outage."""
