"""Images in and out of the store, and what is said of them."""
