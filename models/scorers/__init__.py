"""What turns texts into sentiments."""
