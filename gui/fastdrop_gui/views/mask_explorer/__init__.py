"""The page on which masks are explored."""
