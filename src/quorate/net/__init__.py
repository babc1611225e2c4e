"""Listening and dialing: how sockets become connections, for every protocol there is."""
