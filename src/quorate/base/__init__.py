"""Words everyone shares: ids, messages, events, effects, commands, records, errors, ports.

No logic lives here beyond encoding a value and comparing two. Every other room may import this
one; it imports none.
"""
