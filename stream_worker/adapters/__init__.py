"""Where a micro-batch is written, durably."""
