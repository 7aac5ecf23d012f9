"""Channels: how messages reach people. Each is a `notifier.Channel` with a name and one `send`."""
