"""Programs that publish mentions.

    cli ─► run ─► feeds/ (replay, synthetic)     which records, and when
              └─► publisher ─► Kafka             sends each, and counts the outcomes

A new feed is a module in `feeds/` that yields `ScheduledRecord`s, and a command in `cli.py`.
"""
