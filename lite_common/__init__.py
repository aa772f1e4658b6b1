"""Mechanism that both services share: configuration, context, errors, WSGI, RPC, database, threads.

Nothing in here knows what the services are about, and nothing in here imports them.
"""
