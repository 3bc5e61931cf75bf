"""How files land and are found: looks, messages of the store, the sweep, and sealing as a sender does.

What belongs here: everything between the landing bucket and the rows of the ledger. What does not: what is done with an
object once it has a batch (`pipeline`).
"""
