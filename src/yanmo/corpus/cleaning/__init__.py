"""Text repaired, freed of what is no text, and rewritten as its user wishes: every change counted and
traceable.
"""
