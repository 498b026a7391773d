"""The report of a run: its plain data, its tables in the terminal, its page and its picture."""
