"""Servers started as children, for the demo and for tests."""
