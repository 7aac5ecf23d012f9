"""The main job on servers from the package index, for somebody who has no Kafka at hand."""
