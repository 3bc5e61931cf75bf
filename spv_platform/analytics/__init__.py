"""Analyst tables: what analysts may see of a tenant's patients, under a key of its own.

What belongs here: which columns there are, how persons are made hard to recognise, how the tables are stored. What does
not: which publication they are made from (`pipeline.analytics`).

Everything is an allow-list: a value that no rule lets through is left out.
"""
