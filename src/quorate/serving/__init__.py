"""Serving: carries out requests, whatever the protocol; pure.

A gateway translates a request of its protocol into a `RequestContext` and a command or an
evaluation of one state. This package confirms reads, waits for changes, evaluates once for all
callers with the same query, and renews; the gateway encodes the result. The simulator uses the same
code.

Source: ADR 0028.
"""
