"""What an operator asks and does beside the running system: check, model, dead letters, skip."""
