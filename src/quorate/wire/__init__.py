"""Bytes and messages, one into the other; knows neither sockets nor files."""
