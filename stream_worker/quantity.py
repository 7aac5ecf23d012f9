"""Counts of things, as people write them."""


def quantity(number: int, noun: str) -> str:
    """Return a number with its noun: "1 row", "1,234 rows". The plural of the noun ends in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
