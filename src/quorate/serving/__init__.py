"""Serving: carries out requests, whatever protocol brought them; pure.

A gateway makes of its protocol's words a `RequestContext`, an evaluation of some state, a command;
serving confirms, waits, wakes, evaluates once for all who ask the same, renews; the gateway puts
the result into words again. The simulator's clients are served by the same code.

Source: ADR 0028.
"""
