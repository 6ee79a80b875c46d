"""What a model is worth: its figures on held-out text, and the gates that they must pass."""
