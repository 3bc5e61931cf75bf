"""Opening and making sealed payloads: keys, the platform's own container, and the door for other formats.

What belongs here: everything between sealed bytes and opened bytes. What does not: what the opened bytes mean (`fhir`),
and where objects lie (`resources`).
"""
