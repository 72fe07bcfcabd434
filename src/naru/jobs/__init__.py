"""Background work: the worker that runs tasks, the schedules, and which handler is for which job."""
