"""The place of the adapters, one small file per foreign system; there is none yet."""
