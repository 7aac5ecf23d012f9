"""The object store: archive, days, notification log; a folder or any S3 API."""
