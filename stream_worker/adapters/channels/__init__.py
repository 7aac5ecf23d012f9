"""Channels: how messages reach people. Each is a `ports.Channel` with a name and one `send`."""
