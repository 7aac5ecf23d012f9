"""The commands of `stream-worker`, one file per group."""
