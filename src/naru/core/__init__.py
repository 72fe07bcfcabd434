"""Pure rules and value types: standard library only; no async, no I/O, no clock, no framework."""
