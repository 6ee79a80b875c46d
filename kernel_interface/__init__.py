"""Who asks: the AUTON kernel's side. Wire format, intents, device knowledge, and the server that answers it."""
