"""Replay of detector and model over the archive: the alerts that there would have been."""
