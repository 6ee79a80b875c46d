"""Training: one loop on a DeepSpeed engine, from a laptop's CPU to many GPUs."""
