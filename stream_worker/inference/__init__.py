"""The pinned model: loading it, explaining its scores, and its known errors."""
