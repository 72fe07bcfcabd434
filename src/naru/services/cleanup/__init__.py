"""Cleanup of images: policies and when they run (``Cleanup``), runs and what they did (``CleanupRuns``), the jobs
(``Cleaner``)."""

from naru.db.cleanup.rules import KeptRule
from naru.db.cleanup.runs import Execution, ImageTask, VerdictRow
from naru.services.cleanup.cleaner import Cleaner
from naru.services.cleanup.history import CleanupRuns
from naru.services.cleanup.jobs import CleanUpImage, CleanUpRegistry
from naru.services.cleanup.policies import Cleanup, Timetable

__all__ = [
    "CleanUpImage",
    "CleanUpRegistry",
    "Cleaner",
    "Cleanup",
    "CleanupRuns",
    "Execution",
    "ImageTask",
    "KeptRule",
    "Timetable",
    "VerdictRow",
]
