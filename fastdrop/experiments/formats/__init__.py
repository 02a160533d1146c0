"""Files and texts: how they are written without loss, read safely, and what is in them."""
