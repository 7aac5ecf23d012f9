"""The servers the tests run against, each from the first place that has one."""
