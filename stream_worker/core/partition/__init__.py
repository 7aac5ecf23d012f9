"""The step machine of one partition: recovery, counting, archiving."""
