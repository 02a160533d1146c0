"""The page of presets."""
