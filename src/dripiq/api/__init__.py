"""How does the world reach dripiq over HTTP? Thin: it parses, calls the engine, answers."""
