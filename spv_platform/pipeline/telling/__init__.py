"""Who is told what: news of approvals for practices, alerts for those who run the platform.

What belongs here: which news there is, for whom, and the relays. What does not: the message and its transport
(`notify`).
"""
