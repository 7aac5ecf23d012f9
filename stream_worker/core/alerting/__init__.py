"""From an episode to messages: notification log, policy, the delivery machine and its retry queue."""
