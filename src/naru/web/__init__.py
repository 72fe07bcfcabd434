"""Thin doors: they read the request, call a service, and render what it says."""
