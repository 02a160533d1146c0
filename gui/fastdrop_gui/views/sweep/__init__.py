"""The page of sweeps."""
