"""The trash: what was deleted and can be restored. See ``db.schema.trash`` for how it is held.

``moves`` takes rows from one image to another and lets them go, ``deletions`` fills the trash, ``restores`` brings
back, ``rows`` reads.
"""
