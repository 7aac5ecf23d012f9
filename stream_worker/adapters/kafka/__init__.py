"""Where the worker gets records."""
