"""`hpc`: runs images with the conventions of clusters."""
