"""Event time: integer milliseconds since 1970, UTC; datetimes only where people read them."""

from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
