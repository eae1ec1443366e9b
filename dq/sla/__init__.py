"""SLAs: what was promised, what was seen, and what to say about it."""
