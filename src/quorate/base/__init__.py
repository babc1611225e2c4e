"""Shared types: ids, messages, events, effects, commands, records, errors, ports.

No logic beyond encoding and comparing values. Every other package may import this one; it imports
none.
"""
