"""A checkpoint in the formats of those who run it, each proven to compute the same."""
