"""Programs that measure; nothing here is shipped or tested for time."""
