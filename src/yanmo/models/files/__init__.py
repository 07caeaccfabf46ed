"""What models lie in: weights, settings and names that others wrote, none of it trusted."""
