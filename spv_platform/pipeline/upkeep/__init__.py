"""What keeps an installation sound beside the batches: compaction, retention, reconciliation, doing things again.

What belongs here: work that a schedule or a person asks for, on what is already there. What does not: the way of a
batch (`pipeline`), and Dagster's own runs and output (`resources`).
"""
