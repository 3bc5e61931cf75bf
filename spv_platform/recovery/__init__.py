"""Disaster recovery: what to keep in another place, rebuilding everything from it, and proving that it is the same."""
