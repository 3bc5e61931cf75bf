"""The ledger: what landed, who works on it, what was published, and what was set aside; schema `ops` in PostgreSQL.

What belongs here: SQL, and the rules that one transaction enforces. Every function takes a cursor first, so that a
caller decides what commits together. What does not: files of the lake, keys, the content of payloads and states.
Nothing here can be read as a person's data: records, blocks and targets are HMACs, states are sealed bytes.
"""
