"""What the platform expects of data before it goes on: suites, and their evaluation without values.

What belongs here: Great Expectations suites over frames. What does not: what becomes of a batch that fails
(`pipeline.gate`), and how the outcome is shown (`checks`).
"""
