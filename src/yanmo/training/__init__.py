"""The one training loop: what is minimised, how weights move, how fast, and how nothing is lost."""
