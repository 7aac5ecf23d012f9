"""Counts, views and cursors in Redis: adapters, scripts and the names of the format (docs/redis.md)."""
