"""The place of the adapters, one small file for each foreign system; none is here yet."""
