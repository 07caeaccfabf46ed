"""Files of every kind to clean documents, split without leaks."""
