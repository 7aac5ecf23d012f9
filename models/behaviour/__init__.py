"""What a model should do, by example: a suite of behaviour, never trained on."""
