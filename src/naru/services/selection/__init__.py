"""All that a search finds: what deleting it would do, the run that deletes it, and undoing that."""

from naru.services.selection.handlers import Deleter
from naru.services.selection.jobs import DeleteSelection, UndoDeletion
from naru.services.selection.previews import Preview
from naru.services.selection.runs import Selection, Selections

__all__ = ["DeleteSelection", "Deleter", "Preview", "Selection", "Selections", "UndoDeletion"]
