"""Learning a task from labelled examples."""
