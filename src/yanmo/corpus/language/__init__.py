"""Which languages a text is in, as a whole and passage by passage."""
