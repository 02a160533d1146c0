"""Qt widgets that draw the model."""
