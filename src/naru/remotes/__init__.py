"""Clients of what is outside: other servers, called for users."""
