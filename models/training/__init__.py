"""How the shipped model is made; never part of set-up, demo or tests."""
