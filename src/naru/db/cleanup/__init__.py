"""Cleanup: policies (``rules``), runs and their verdicts (``runs``), what there is to decide about (``candidates``)."""
