"""The n-gram language model: its table, its estimation, its file format, and its form over characters."""
