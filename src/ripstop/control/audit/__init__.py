"""The evidence: ledger segments taken in, kept, receipted and verified."""
