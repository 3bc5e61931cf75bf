"""MatchMiner's formats: trials in CTML, clinical and genomic records, and match documents.

What belongs here: translation to and from the platform's criteria and facts, and the documents that MatchMiner's users
expect. What does not: any judgement of its own; criteria are judged by `trials.leaves`.
Sources: the CTML documentation of MatchMiner (matchminer.gitbook.io) and the records and trials of its public engine.
"""
