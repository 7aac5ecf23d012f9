"""Programs that publish mentions.

    cli ─► run ─► feeds/ (replay, synthetic)     what to publish, and when
              └─► publisher ─► Kafka             who sends it, and what became of it

A new feed is a module in `feeds/` that yields `Due` records, and a command in `cli.py`.
"""
