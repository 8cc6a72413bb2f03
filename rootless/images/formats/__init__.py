"""Image archives and layouts that images are loaded from and saved to."""
