"""Serving: carries out requests, whatever protocol brought them; pure."""
