"""From record bytes to mentions in columns: decode, dedup window, watermark."""
