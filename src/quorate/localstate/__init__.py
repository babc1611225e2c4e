"""This agent's own services and checks, and how the catalog is kept equal to them."""
