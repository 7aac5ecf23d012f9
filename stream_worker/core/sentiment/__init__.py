"""Net sentiment, its estimate under a known confusion matrix, and its typical range."""
