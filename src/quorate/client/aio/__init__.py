"""The async client. `scripts/unasync.py` makes `quorate.client.sync` from this folder."""
