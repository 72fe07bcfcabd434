"""Tests of Naru. They go through real parts: real SQLite, real files, a real server where a client is the point."""
