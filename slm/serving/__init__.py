"""Running exported models: one engine over llama.cpp."""
