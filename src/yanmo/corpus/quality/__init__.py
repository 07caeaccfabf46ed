"""Which texts are worth learning from: measures, published rules with their thresholds, and the verdict."""
