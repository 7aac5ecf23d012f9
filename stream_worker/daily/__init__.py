"""The daily batch: a day of the archive counted again, compared with the live numbers, and reported."""
