"""Bytes and messages, each from the other; without sockets and files."""
