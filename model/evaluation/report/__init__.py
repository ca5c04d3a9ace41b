"""The report of an evaluation: one HTML file that needs nothing else, and the same numbers as JSON."""

from model.evaluation.report.challenge_page import challenge_page
from model.evaluation.report.page import NUMBERS, PAGE, page_of, write_report, write_whole

__all__ = ["NUMBERS", "PAGE", "challenge_page", "page_of", "write_report", "write_whole"]
