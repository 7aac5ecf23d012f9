"""The report on a model: measured in one run, written as Markdown with plots."""
