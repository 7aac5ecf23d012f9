"""The daily batch: a day of the archive counted again, compared with what was shown live, and told."""
