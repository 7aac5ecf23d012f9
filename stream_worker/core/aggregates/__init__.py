"""Counts: measures, the fold of a micro-batch into integer deltas, shards, and their text encodings."""
