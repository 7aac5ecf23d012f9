"""The whole system on servers that come as packages, for people who have no Kafka at hand."""
