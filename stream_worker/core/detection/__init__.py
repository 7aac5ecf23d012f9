"""The detector: baseline, evidence, episodes, and the evaluation of sealed minutes."""
