"""One batch through the stages: discover, stage, fold, match, publish. Puts the domain packages to work in order.

What belongs here: the order of steps and what must be true between them; how files land in `landing`, who is told in
`telling`, what is done beside the batches in `upkeep`. What does not: Dagster (`assets`, `sensors`), and how any one
step is done (`envelope`, `fhir`, `view`, `identity`, `trials`, `lake`, `ledger`).
"""
