"""The second loop: from the outbox to people."""
