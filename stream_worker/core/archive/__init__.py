"""Names and documents of the archive, built and parsed in one place."""
