"""What a task is: its examples, how files become them, what is wrong with them, how they are split."""
