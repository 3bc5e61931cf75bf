"""Clinical trials: the criteria language, the registry, and the three-valued match of persons against cohorts.

What belongs here: parsing of criteria files and of registry studies, judging facts, verdicts, their explanation and
the description of the tables that hold them. What does not: how facts come about (`view`), how tables are stored
(`lake`), who is told (`ledger`).
"""
