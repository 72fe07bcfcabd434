"""Real clients against a real server process: what their users do, and what they see when it does not work."""
