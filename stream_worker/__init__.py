"""Stream Worker: mentions from Kafka to minute windows in Redis and an exact archive."""
