"""Complete runs as functions over everything below: pretraining, the whole road, the demo."""
