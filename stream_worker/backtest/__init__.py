"""Replay of detector and model over the archive: what would have been told."""
