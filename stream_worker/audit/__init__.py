"""The audit's two readers: of Redis part by part, and of the archive's rows hour by hour."""
