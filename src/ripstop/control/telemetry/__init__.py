"""What the fleet reports: frames into rings, workloads into the dependency graph."""
