"""Images of another registry, copied into registries here."""

from naru.services.importing.importer import Importer
from naru.services.importing.report import Failure, Progress, Report, Row

__all__ = ["Failure", "Importer", "Progress", "Report", "Row"]
