"""The pinned model: how it is loaded, explained, and how often it is wrong."""
