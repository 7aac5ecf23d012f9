"""The model of a simulated world: any pure function of text and model does."""

from zlib import crc32


def score_of(text, model):
    """Label and sentiment of a text."""
    seal_id = crc32(f"{model}\0{text}".encode())
    return seal_id % 5, (seal_id >> 8) % 2_000_001 - 1_000_000 if seal_id % 5 < 3 else 0
