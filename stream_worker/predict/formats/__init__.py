"""Rows of files as chunks: cut, read, scored and written again, without any I/O."""
