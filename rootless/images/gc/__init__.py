"""What the store holds that nothing needs: finds it, counts it, removes it."""
