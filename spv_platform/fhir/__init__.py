"""From opened bytes to typed columns: split, validate, resolve references, project.

The public face is `fhir.parse`. What belongs here: reading FHIR R4 JSON. What does not: opening sealed objects
(`envelope`), what the tables are (`lake.tables`), which version wins across objects (`lake.winners`).
"""
