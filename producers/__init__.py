"""Programs that publish mentions."""
