"""The rolling picture in Redis: the adapter and its scripts. docs/redis.md describes the keys."""
