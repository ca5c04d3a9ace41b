"""The report of an evaluation: one HTML file that needs nothing else, and the same numbers as JSON."""

from model.evaluation.report.page import NUMBERS, PAGE, page_of, write_report

__all__ = ["NUMBERS", "PAGE", "page_of", "write_report"]
