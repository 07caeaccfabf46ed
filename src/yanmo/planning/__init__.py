"""Measure the machine, predict time, memory and loss, and choose sizes before anything is spent."""
