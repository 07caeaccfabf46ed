"""Tasks whose answers are texts: translations, summaries, conversations, and which answer is better."""
