"""Tools of an operator beside the running system: check, model, dead letters, skip."""
