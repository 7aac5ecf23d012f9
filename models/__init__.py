"""Training, loading and judging of sentiment models; imports nothing of ours."""
