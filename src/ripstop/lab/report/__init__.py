"""The report of a run: its plain data, its tables in the terminal, its page and its picture."""

from ripstop.lab.report.schema import Report

__all__ = ["Report"]
