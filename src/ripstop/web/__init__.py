"""The place of the operator's page; there is none yet beyond the report that a run writes."""
