"""The lake: table descriptions, staging, publishing, reading and compaction of each tenant's Delta tables."""
