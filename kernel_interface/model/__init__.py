"""The model behind the server: in a process of its own, supervised, and asked over a socket pair."""
