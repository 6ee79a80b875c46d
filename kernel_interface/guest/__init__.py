"""A model inside the kernel, tried: an AUTON image booted in QEMU, and lines typed at its prompt."""
