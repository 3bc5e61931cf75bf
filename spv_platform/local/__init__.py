"""The embedded stack: every server of the platform on one host, as processes of its own over loopback sockets.

What belongs here: starting, stopping and watching processes, and the configuration of each server. What does not:
anything that also exists in production, where the same servers are somebody else's.
"""
