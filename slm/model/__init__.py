"""The models: plain Llamas of every size, described by a spec."""
