"""Where producers get their mentions."""
