"""Images on disk: an OCI image layout, and beside it the layers as the union reads them."""
