"""Telling practices: who is told, what a message says and how it is signed, posted and received.

What belongs here: routing, messages, Standard Webhooks, HTTP. What does not: the outbox (`ledger.outbox`), and when
something is sent (`pipeline.telling.notifying`). Nothing here knows a person's name.
"""
