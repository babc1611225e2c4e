"""Wiring, and words for people; one file per noun."""
