"""Who is who: which records of patients are one person.

What belongs here: the evidence for and against, decisions, enterprise ids. What does not: the facts themselves
(`view`), where links are stored (`ledger`).
"""
