"""Batch scoring from outside: files and objects in, files and objects out, a few processes between."""
