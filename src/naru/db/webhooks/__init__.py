"""Rows of webhooks: ``outbox`` (what happened), ``policies`` (who wants to hear), ``lanes`` (what is on its way),
``history`` (what became of it)."""
