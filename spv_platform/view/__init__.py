"""What the platform knows about a patient: facts, their fold over resource versions, and the single patient view.

What belongs here: turning rows of resource tables into facts (`facts_of`), keeping the facts of the winning versions
(`fold`), and making one row per person of them (`patient_view`). What does not: which records are one person
(`identity`), what a trial asks of the facts (`trials`), where any of it is stored (`lake`, `ledger`).
"""
