"""Consul's filter expressions: parsed, checked against fields, evaluated."""
