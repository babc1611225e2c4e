"""A new cluster out of what survived the loss of a majority."""
