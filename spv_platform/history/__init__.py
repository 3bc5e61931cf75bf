"""The history of persons and approvals as MongoDB documents, for search and analysis over time.

What belongs here: how rows become documents, which fields only the client can read, how documents are stored. What
does not: when it is fed and from where (`pipeline.history`), and how far it got (`ledger.history`).
"""
