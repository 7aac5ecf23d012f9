"""The audit's pure parts: chains, the recount of rows, and what is compared with what.

See docs/design.md#audit.
"""
