"""The first loop: poll, decode, score, fold, sinks, commit."""
