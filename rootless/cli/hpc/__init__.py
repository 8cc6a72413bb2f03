"""`hpc`: containers as users of clusters have them."""
