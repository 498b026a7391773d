"""The wires: a network in virtual time, NATS, and the shell that runs a node over it."""
