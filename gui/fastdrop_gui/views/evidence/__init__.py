"""The page that answers whether dropout helps."""
