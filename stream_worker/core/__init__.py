"""The rules. No I/O, no clock, no log, no metric."""
