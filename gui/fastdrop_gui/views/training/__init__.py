"""The page on which a network trains: its settings, its layers, and what can be seen of it."""
