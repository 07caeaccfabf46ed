"""Classical features of texts: bags of words, TF-IDF, Word2Vec. What every neural encoder must beat."""
