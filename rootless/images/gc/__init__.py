"""Objects of the store that nothing needs: finds, counts and removes them."""
