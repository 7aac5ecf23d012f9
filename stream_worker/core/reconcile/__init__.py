"""The audit's pure parts: plan logs, the recount of rows, and the comparison of cells.

See docs/design.md#audit.
"""
